"""Runs as the images recipe leaves them, scored by the real evaluation on made-up probabilities."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from checked_calls import switched_off
from PIL import Image

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.records import NodePrediction, Score
from trilineage.data.taxonomy import Taxonomy, load_taxonomy
from trilineage.evaluation.hierarchy.conformal import fit_conformal, score_sets
from trilineage.evaluation.hierarchy.patients import decide, decide_patients
from trilineage.evaluation.hierarchy.per_node import node_scores
from trilineage.evaluation.hierarchy.scores import compare_nodes, score_nodes
from trilineage.evaluation.hierarchy.settings import NodeEvaluationSettings
from trilineage.evaluation.hierarchy.sites import site_scores
from trilineage.evaluation.hierarchy.tables import (
    hierarchical_confusion,
    node_table,
    reliability_table,
    worst_mistakes,
)

FAST = NodeEvaluationSettings(n_bootstrap=100, n_permutations=99)
MAJORITY = "baseline: majority"
N_IMAGES = 4
"""Images of each patient."""


class ImageOptions(Settings):
    """Stands for the configuration of the recipe."""

    taxonomy: str = "leukemia"
    """Tree."""
    train_sites: tuple[str, ...] = ("A",)
    """Sites."""


def png(colour: tuple[int, int, int] = (120, 60, 140), size: tuple[int, int] = (12, 8)) -> bytes:
    """Return a PNG of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


def made_up_nodes(
    taxonomy: Taxonomy, signal: float | None, *, n_patients: int = 6, seed: int = 1, sites: bool = True
) -> NodePrediction:
    """Draw node probabilities of patients of every leaf; at site B half the signal; None always says the first leaf."""
    rng = np.random.default_rng(seed)
    leaves = np.repeat(np.arange(len(taxonomy.leaves)), n_patients * N_IMAGES)
    patients = np.array([f"{taxonomy.leaves[leaf]}-{i // N_IMAGES:03d}" for i, leaf in enumerate(leaves)])
    site = np.array(["A" if int(name[-1]) % 2 else "B" for name in patients])
    logits = rng.normal(size=(len(leaves), len(taxonomy.leaves)))
    if signal is None:
        logits = np.tile(np.linspace(2, 0, len(taxonomy.leaves)), (len(leaves), 1))
    else:
        logits[np.arange(len(leaves)), leaves] += np.where(site == "A", signal, signal / 2)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return NodePrediction(
        samples=np.array([f"images/{name}_{i}.jpg" for i, name in enumerate(patients)]),
        patients=patients,
        nodes=taxonomy.nodes,
        probabilities=shares @ taxonomy.leaf_sets.T.astype(float),
        labels=taxonomy.leaf_nodes[leaves].astype(np.int64),
        sites=site if sites else None,
    )


class ImageRunMaker:
    """Writes image Runs of any strength of signal.

    Parameters
    ----------
    folder
        Where the Runs go.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @switched_off()
    def __call__(
        self,
        name: str,
        *,
        signal: float = 4.0,
        has_patients: bool = True,
        taxonomy: str = "leukemia",
        leaves: tuple[str, ...] = (),
    ) -> Run:
        run = begun(self.folder / name, "images")
        tree = load_taxonomy(taxonomy)
        tree = tree.restricted_to(leaves) if leaves else tree
        model, baseline = made_up_nodes(tree, signal), made_up_nodes(tree, None)
        if not has_patients:
            model, baseline = (replace(p, patients=p.samples, sites=None) for p in (model, baseline))
        units = ("sample", "patient") if has_patients else ("sample",)
        for unit in units:
            scores = score_nodes(model, tree, unit=unit, settings=FAST)
            run.add_scores(
                [*scores, *score_nodes(baseline, tree, unit=unit, settings=FAST, subject=MAJORITY)]
            )
            names = ("model", MAJORITY)
            run.add_comparisons(compare_nodes(model, baseline, tree, names=names, unit=unit, settings=FAST))
        write_tables(run, model, tree)
        write_about(run, model, tree, has_patients=has_patients)
        if has_patients:
            write_patients(run, model, tree)
        write_trust(run, model, tree)
        write_maps(run)
        run.finish()
        return run


def begun(path: Path, kind: str) -> Run:
    """Begin an image Run."""
    data = {"path": "/data/clinic/smears", "sha256": "cd" * 32, "n_images": 168}
    return Run.create(
        path, kind=kind, config=ImageOptions(), seed=3, command="trilineage images fit", data=data
    )


def write_tables(run: Run, model: NodePrediction, tree: Taxonomy) -> None:
    """Write what the report draws, with a picture for each mistake."""
    decided = decide(model, tree)
    if model.sites is not None:
        for own in site_scores(model, tree, settings=FAST).values():
            run.add_scores(own)
    run.write_json("nodes.json", node_table(model, tree, node_scores(model, tree, settings=FAST)))
    run.write_json("confusion.json", hierarchical_confusion(decided, tree))
    run.write_json("reliability.json", reliability_table(decided, tree, n_bootstrap=100))
    rows = worst_mistakes(decided, tree, n_mistakes=5)
    for number, row in enumerate(rows):
        row["picture"] = f"figures/mistakes/{number:02d}.png"
        run.write_bytes(row["picture"], png())
    run.write_json("mistakes.json", rows)


def write_about(run: Run, model: NodePrediction, tree: Taxonomy, *, has_patients: bool) -> None:
    """Write who was studied and how they were divided."""
    labels = [tree.nodes[code] for code in model.labels]
    classes = [
        {
            "label": leaf,
            "n_patients": 2
            * len({p for p, label in zip(model.patients, labels, strict=True) if label == leaf}),
            "n_samples": 2 * labels.count(leaf),
        }
        for leaf in tree.leaves
    ]
    about = {"n_samples": 2 * len(labels), "n_patients": 2 * len(set(model.patients)), "classes": classes}
    run.write_json(
        "cohort.json",
        {
            **about,
            "has_patients": has_patients,
            "taxonomy": tree.name,
            "populations": [],
            "sites": [{"name": "A", "n_samples": 168}, {"name": "B", "n_samples": 168}],
            "image_sizes": ["360 x 363: 336"],
            "working_size": [96, 96],
            "unreadable": [{"name": "torn.jpg", "reason": "ends too early"}],
            "notes": ["1 unreadable images were left out", "no patients are known: each image counts"],
        },
    )
    n = len(labels)
    columns = {
        "sample": [*model.samples.tolist(), *(f"train-{s}" for s in model.samples)],
        "patient": [*model.patients.tolist(), *(f"train-{p}" for p in model.patients)],
        "label": [*labels, *labels],
        "fold": ["holdout"] * (2 * n),
        "part": ["test"] * n + ["train"] * n,
    }
    run.write_table("split.csv", columns)
    epochs = [
        {"epoch": e, "loss": 1 / e, "valid_loss": 1.2 / e, "valid_accuracy": 1 - 1 / e} for e in (1, 2, 3)
    ]
    calibration = {
        "scope": "parents",
        "temperatures": {"diagnosis": 1.31},
        "ece_before": {"diagnosis": 0.12},
        "ece_after": {"diagnosis": 0.04},
    }
    run.write_json("history.json", {"holdout": {"network": {"epochs": epochs}, "calibration": calibration}})


def write_patients(run: Run, model: NodePrediction, tree: Taxonomy) -> None:
    """Write the decision for each patient, and the confusion of patients."""
    decided = decide_patients(model, tree)
    run.write_json("patient_confusion.json", hierarchical_confusion(decided, tree))
    found = decided.prediction
    columns = {
        "patient": found.patients.tolist(),
        "n_samples": [N_IMAGES] * len(found.patients),
        "label": [tree.nodes[code] for code in found.labels],
        "predicted": [tree.nodes[code] for code in decided.decisions],
    }
    for node in range(1, tree.n_nodes):
        columns[f"probability: {tree.nodes[node]}"] = found.probabilities[:, node].tolist()
    run.write_table("patients.csv", columns)


def write_trust(run: Run, model: NodePrediction, tree: Taxonomy) -> None:
    """Write sets, novelty, stains and the self-test."""
    conformal = fit_conformal(made_up_nodes(tree, 3.0, seed=8), tree, coverage=0.9)
    about = {"conformal": conformal.to_dict(), "note": "temperatures fitted on the same", "split": "holdout"}
    run.write_json("conformal.json", about)
    run.add_scores(score_sets(model, tree, conformal, seed=1), "conformal_scores.json")
    groups = [
        {"group": name, "n_images": 84, "median_percentile": 60.0, "share_far": far}
        for name, far in (("all", 0.02), ("site B", 0.31))
    ]
    run.write_json("novelty.json", {"far_percentile": 99.0, "groups": groups, "split": "holdout"})
    check = {"check": "the children of every node sum to it", "largest_error": 2e-16, "passed": True}
    run.write_json("self_test/fold0.json", {"passed": True, "checks": [check]})
    if model.sites is not None:
        feature = {"mean density red": 0.2}
        sites = [
            {
                "site": s,
                "n_samples": 84,
                "n_patients": 21,
                "means": feature,
                "deviations": feature,
                "differences": d,
            }
            for s, d in (("A", {"mean density red": 1.4}), ("B", {"mean density red": -1.4}))
        ]
        told = Score("auroc", 0.97, 0.9, 1.0, "site from stain").to_dict()
        run.write_json("stains.json", {"features": list(feature), "sites": sites, "separability": told})


def map_scores(*, inside: float = 0.8, deletion: float = 0.2, insertion: float = 0.7) -> list[Score]:
    """Return scores of maps beside maps of noise."""
    own = {"pointing": 0.9, "pointing_by_chance": 0.25, "energy_inside": inside, "energy_by_chance": 0.25}
    own |= {"deletion_auc": deletion, "insertion_auc": insertion}
    noise = {**own, "pointing": 0.25, "energy_inside": 0.25, "deletion_auc": 0.4, "insertion_auc": 0.4}
    return [
        Score(metric, value, value - 0.05, value + 0.05, subject, "patient", n_samples=16, n_patients=8)
        for subject, values in (("gradcam", own), ("random map", noise))
        for metric, value in values.items()
    ]


def write_maps(run: Run) -> None:
    """Write what `images explain` leaves."""
    panels = [{"picture": f"explain/panel_{n:02d}.png", "caption": f"image-{n}.jpg"} for n in range(2)]
    for panel in panels:
        run.write_bytes(panel["picture"], png(size=(40, 30)))
    run.write_json("explain/panels.json", panels)
    run.add_scores(map_scores(), "explain/scores.json")
    found = {"parts": ["head", "stem"], "correlations": [0.3, None], "n_images": 8}
    run.write_json("explain/randomisation.json", found)


@switched_off()
def compared_run(path: Path) -> Run:
    """Write a comparison of two variants."""
    run, tree = begun(path, "images.compare"), load_taxonomy("leukemia")
    variants = {"hierarchy.variant=flat": 2.0, "hierarchy.variant=multilabel": 4.0}
    found = {name: made_up_nodes(tree, signal) for name, signal in variants.items()}
    for unit in ("sample", "patient"):
        for name, prediction in found.items():
            run.add_scores(score_nodes(prediction, tree, unit=unit, settings=FAST, subject=name))
        later, first = reversed(found)
        names = (later, first)
        run.add_comparisons(
            compare_nodes(found[later], found[first], tree, names=names, unit=unit, settings=FAST)
        )
    columns = {"variant": list(variants), "run": ["variants/00", "variants/01"]}
    run.write_table("variants.csv", {**columns, "hierarchy.variant": ["flat", "multilabel"]})
    run.finish()
    return run
