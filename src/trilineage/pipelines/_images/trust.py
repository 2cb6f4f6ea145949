"""How far a model can be trusted: conformal sets, likeness to training, stain of the sites, and the Run's self-test."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int, UInt8

from trilineage.core.artifacts import Run
from trilineage.core.progress import progress
from trilineage.core.records import NodePrediction, Score
from trilineage.core.seeding import derive_seed
from trilineage.data.images.table import ImageTable
from trilineage.data.images.threads import in_threads, n_workers
from trilineage.evaluation.hierarchy.conformal import Conformal, fit_conformal, score_sets
from trilineage.evaluation.hierarchy.novelty import Novelty, fit_novelty
from trilineage.evaluation.hierarchy.sites import stain_shift
from trilineage.evaluation.patient_novelty import joined_rows
from trilineage.evaluation.patient_profiles import Profiles, mean_profiles, patient_classes, profile_rows
from trilineage.pipelines._images.config import Config
from trilineage.pipelines._images.fold import Fold, look_at
from trilineage.pipelines._images.material import Material
from trilineage.pipelines._images.network import head_of
from trilineage.pipelines._images.store import read_model
from trilineage.pipelines._runs import UNLIKE, fold_name
from trilineage.training.objectives.hierarchy import isolation_check
from trilineage.training.place import Place

STAIN_FEATURES = tuple(
    f"{what} {channel}"
    for what in ("background", "mean density", "dark density")
    for channel in ("red", "green", "blue")
)
"""Names of the columns of `stain_features`."""
_DENSITY = -np.log10((np.arange(256) + 1.0) / 256.0)
"""Optical density of each value of a pixel."""
_FAR = 99.0
"""Percentile of held-out images beyond which an image is called unlike training."""
_N_RELOADED = 16
_MIN_CONFORMAL_PATIENTS = 10

logger = logging.getLogger(__name__)


def write_fold_trust(run: Run, fold: Fold, material: Material, config: Config, place: Place) -> None:
    """Write what predictions with the weights of this fit need, and the self-test."""
    write_conformal(run, place.name, conformal_of(fold, material, config))
    novelty = novelty_of(fold, material, config)
    if novelty is not None:
        write_novelty(run, place.name, novelty)
    run.write_json(f"self_test/{place.name}.json", self_test(run, fold, material, config, place))


def write_trust(run: Run, material: Material, folds: Sequence[Fold], config: Config) -> None:
    """Write the scores of the sets, how many test images are unlike training, and the stain of the sites."""
    table, scores = conformal_scores(folds, material, config)
    run.write_json("conformal.json", table)
    run.add_scores(scores, "conformal_scores.json")
    novelty = read_novelty(run, fold_name(0))
    if novelty is not None and len(folds[0].test.samples):
        run.write_json("novelty.json", novelty_table(folds[0], novelty, material))
        write_unlike_training(run, material, folds)
    stains = stain_table(material, config)
    if stains is not None:
        run.write_json("stains.json", stains)


def conformal_of(fold: Fold, material: Material, config: Config) -> Conformal | None:
    """Fit the threshold of the sets on the validation patients of a split; None where there are too few."""
    if len(np.unique(fold.valid.patients)) < _MIN_CONFORMAL_PATIENTS:
        return None
    return fit_conformal(fold.valid, material.taxonomy, coverage=config.decision.coverage)


def write_conformal(run: Run, name: str, conformal: Conformal | None) -> None:
    """Keep the threshold of the sets of one fit."""
    run.write_json(f"conformal/{name}.json", None if conformal is None else conformal.to_dict())


def read_conformal(run: Run, name: str) -> Conformal | None:
    """Read the threshold of the sets of one fit; None where there is none."""
    written = run.read_json(f"conformal/{name}.json") if run.has(f"conformal/{name}.json") else None
    if written is None:
        return None
    threshold = written["threshold"]
    return Conformal(**{**written, "threshold": np.inf if threshold is None else threshold})


def conformal_scores(
    folds: Sequence[Fold], material: Material, config: Config
) -> tuple[dict[str, Any], list[Score]]:
    """Return what the report says of the sets, and their scores on the test patients of the first split."""
    fold = folds[0]
    conformal = conformal_of(fold, material, config)
    if conformal is None:
        reason = f"fewer than {_MIN_CONFORMAL_PATIENTS} validation patients: no sets"
        return {"conformal": None, "note": reason}, []
    seed = derive_seed(config.seed, "evaluation")
    found = score_sets(fold.test, material.taxonomy, conformal, level=config.evaluation.level, seed=seed)
    note = "the temperatures were fitted on the same validation patients"
    return {"conformal": conformal.to_dict(), "note": note, "split": fold.split.name}, found


def novelty_of(fold: Fold, material: Material, config: Config) -> Novelty | None:
    """Learn how far images of held-out patients usually lie from the training images; None with too few patients."""
    train, valid = fold.split.positions("train"), fold.split.positions("valid")
    patients = material.cohort.patients
    if len(np.unique(patients[train])) < 2:
        return None
    held_out = (fold.features["valid"], patients[valid]) if len(np.unique(patients[valid])) >= 5 else None
    return fit_novelty(
        fold.features["train"],
        patients[train],
        labels=material.nodes[train],
        held_out=held_out,
        seed=derive_seed(config.seed, "novelty"),
    )


def write_novelty(run: Run, name: str, novelty: Novelty) -> None:
    """Keep what distances are measured from."""
    values = {key: getattr(novelty, key) for key in ("centres", "whitening", "usual", "usual_share")}
    run.write_arrays(
        f"novelty/{name}.npz", method=novelty.method, n_neighbours=novelty.n_neighbours, **values
    )


def read_novelty(run: Run, name: str) -> Novelty | None:
    """Read what distances are measured from; None where the Run has nothing."""
    if not run.has(f"novelty/{name}.npz"):
        return None
    arrays: dict[str, Any] = run.read_arrays(f"novelty/{name}.npz")
    return Novelty(**{**arrays, "method": str(arrays["method"]), "n_neighbours": int(arrays["n_neighbours"])})


def novelty_table(fold: Fold, novelty: Novelty, material: Material) -> dict[str, Any]:
    """Return how many test images are unlike training, over all and for each site."""
    percentile = novelty.score(fold.features["test"]).percentile
    sites = fold.test.sites
    groups = {"all": np.ones(len(percentile), dtype=bool)}
    if sites is not None:
        groups |= {f"site {site}": sites == site for site in np.unique(sites).tolist()}
    rows = [
        {
            "group": name,
            "n_images": int(chosen.sum()),
            "median_percentile": float(np.median(percentile[chosen])),
            "share_far": float((percentile[chosen] > _FAR).mean()),
        }
        for name, chosen in groups.items()
        if chosen.any()
    ]
    return {"far_percentile": _FAR, "groups": rows, "split": fold.split.name}


def write_unlike_training(run: Run, material: Material, folds: Sequence[Fold]) -> None:
    """Write how far the mean features of validation and test patients lie from those of training patients."""
    tables = []
    for number, fold in enumerate(folds):
        is_known = run.has(f"novelty/{fold_name(number)}.npz") and material.has_patients
        if not is_known or len(fold.valid.samples) == 0:
            continue
        learned = fold.split.positions("train")
        patients = material.cohort.patients[learned]
        profiles = {
            "train": mean_profiles(fold.features["train"], patients),
            "valid": mean_profiles(fold.features["valid"], fold.valid.patients),
            "test": mean_profiles(fold.features["test"], fold.test.patients),
        }
        classes = patient_classes(material.nodes[learned], patients)
        write_profiles(run, fold_name(number), profiles["train"], profiles["valid"], classes)
        tables.append(profile_rows(fold.split.name, profiles["train"], classes, profiles))
    if tables:
        run.write_table(UNLIKE, joined_rows(tables))


def write_profiles(
    run: Run, name: str, learned: Profiles, valid: Profiles, classes: Int[np.ndarray, " patient"]
) -> None:
    """Keep the mean features of training and validation patients: what new patients are held against."""
    parts = {"train": learned, "valid": valid}
    arrays = {
        f"{part}_{field}": value for part, own in parts.items() for field, value in own._asdict().items()
    }
    run.write_arrays(f"novelty/patients_{name}.npz", **arrays, classes=classes)


def read_profiles(run: Run, name: str) -> tuple[Profiles, Profiles, Int[np.ndarray, " patient"]]:
    """Read training patients, validation patients and the classes of the former."""
    arrays = run.read_arrays(f"novelty/patients_{name}.npz")
    learned, valid = (
        Profiles(**{field: arrays[f"{part}_{field}"] for field in Profiles._fields})
        for part in ("train", "valid")
    )
    return learned, valid, arrays["classes"]


def stain_features(table: ImageTable) -> Float64[np.ndarray, "image feature"]:
    """Return the background colour and the optical densities (mean, and of the darkest twentieth) of each image.

    Optical density is -log10 of the light that comes through, (value + 1) / 256; background is the 95th percentile of
    each channel in [0, 1].
    """
    workers, rows = n_workers(table.settings.workers), np.empty((len(table), len(STAIN_FEATURES)))
    read = in_threads(
        lambda position: _stain_of(table.read_sized(position)), range(len(table)), workers=workers
    )
    with progress("stains", len(table), "images") as meter:
        for position, row in enumerate(read):
            rows[position] = row
            meter.advance()
    return rows


def _stain_of(image: UInt8[np.ndarray, "height width 3"]) -> Float64[np.ndarray, " feature"]:
    pixels = image.reshape(-1, 3)
    density = _DENSITY[pixels]
    dark, light = np.percentile(density, 95, axis=0), np.percentile(pixels, 95, axis=0)
    return np.concatenate([light / 255.0, density.mean(axis=0), dark])


def stain_table(material: Material, config: Config) -> dict[str, Any] | None:
    """Compare the stains of the sites that have two patients or more; None where there are fewer than two of those."""
    sites, patients = material.cohort.sites, material.cohort.patients
    if sites is None:
        return None
    known, codes = np.unique(sites, return_inverse=True)
    is_large = np.array([len(np.unique(patients[codes == code])) > 1 for code in range(len(known))])
    if not is_large.all():
        logger.info("stains: %s left out, one patient each", ", ".join(map(str, known[~is_large])))
    if is_large.sum() < 2:
        return None
    kept = np.flatnonzero(is_large[codes])
    found = stain_shift(
        stain_features(material.table.subset(kept)),
        STAIN_FEATURES,
        sites[kept],
        patients[kept],
        seed=derive_seed(config.seed, "stain"),
    )
    return found.to_dict()


def self_test(run: Run, fold: Fold, material: Material, config: Config, place: Place) -> dict[str, Any]:
    """Check what the Run promises: levels that do not interfere, probabilities that add up, weights that come back."""
    checks = [_adds_up(fold.test, material), _comes_back(run, fold, material, place)]
    head = head_of(fold.model)
    if config.hierarchy.variant == "multilabel" and head is not None:
        checks.append(_is_isolated(head, config))
    return {"passed": all(check["passed"] for check in checks), "checks": checks}


def _adds_up(prediction: NodePrediction, material: Material) -> dict[str, Any]:
    taxonomy, p = material.taxonomy, prediction.probabilities
    worst = 0.0
    for node in range(taxonomy.n_nodes):
        children = list(taxonomy.children_of(node))
        if children and len(p):
            below = p[:, children].sum(axis=1) if taxonomy.is_tree else p[:, children].max(axis=1)
            gap = np.abs(below - p[:, node]) if taxonomy.is_tree else np.maximum(below - p[:, node], 0.0)
            worst = max(worst, float(gap.max()))
    what = "the children of every node sum to it" if taxonomy.is_tree else "no node exceeds its parents"
    return {"check": what, "largest_error": worst, "passed": worst < 1e-5}


def _comes_back(run: Run, fold: Fold, material: Material, place: Place) -> dict[str, Any]:
    """Read the weights again and predict a few images."""
    positions = fold.split.positions("test")[:_N_RELOADED]
    table = material.table.subset(
        positions if len(positions) else fold.split.positions("train")[:_N_RELOADED]
    )
    stored = read_model(run, place.name, device=place.device)
    again = look_at(stored.model, table, device=place.device).log_probabilities
    before = look_at(fold.model, table, device=place.device).log_probabilities
    gap = float(np.abs(np.exp(again) - np.exp(before)).max()) if len(table) else 0.0
    return {"check": "the stored weights predict the same", "largest_error": gap, "passed": gap < 1e-6}


def _is_isolated(head: Any, config: Config) -> dict[str, Any]:
    with torch.random.fork_rng(devices=[]):
        found = isolation_check(head, config.hierarchy, seed=config.seed)
    asked = config.hierarchy.isolation
    passed = found["is_isolated"] if asked != "none" else found["max_on_other_heads"] == 0.0
    return {
        "check": f"no loss of one level reaches the heads of another (isolation {asked})",
        **found,
        "passed": passed,
    }
