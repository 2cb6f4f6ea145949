"""Explain the decisions of a Run: maps of whole paths, pictures, scores against regions, whether maps are true."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from trilineage.core.artifacts import Run
from trilineage.core.errors import ConfigError
from trilineage.core.records import Score
from trilineage.core.seeding import derive_seed, generator
from trilineage.data.images.batches import ImageBatches
from trilineage.evaluation.hierarchy.decoding import decode
from trilineage.evaluation.hierarchy.temperatures import apply_node_temperatures
from trilineage.evaluation.localisation import TOLERANCE, area_shares, localisation, region_shares
from trilineage.evaluation.means import mean_scores
from trilineage.evaluation.resampling import Scale
from trilineage.explain.faithfulness import perturbation_curves, random_maps, randomisation_check
from trilineage.explain.overlays import contact_sheet, png_bytes
from trilineage.explain.saliency.maps import SaliencyMaps
from trilineage.explain.saliency.methods import SaliencySettings, explain_images
from trilineage.explain.saliency.targets import NodeTarget, Targets
from trilineage.models.image_classifier import ImageClassifier
from trilineage.models.parent_networks import ParentNetworks
from trilineage.pipelines._image_cohort import COLUMN_OPTIONS
from trilineage.pipelines._images.config import Config
from trilineage.pipelines._images.maps import Explained, deepest, make_maps, node_targets
from trilineage.pipelines._images.material import Material, gather, split_patients
from trilineage.pipelines._images.patient_cells import write_patient_cells
from trilineage.pipelines._images.store import KIND, Stored, read_model
from trilineage.pipelines._regions import Regions, known_stems, region_masks
from trilineage.pipelines._runs import prediction_weights
from trilineage.training.distributed import choose_device

_PER_PANEL = 8
_TOLERANCE = TOLERANCE / 500
"""The published tolerance as a share of the side: it was meant for photographs of about 500 pixels."""
_N_FAITHFUL = 24
_N_RANDOMISED = 8
_SHARE = Scale((0.0, 1.0))
_COSTLY = Scale((0.0, 1.0), is_lower_better=True)

logger = logging.getLogger(__name__)


def explain_run(  # noqa: PLR0913  (the options of the command, one by one)
    run: Run | Path | str,
    *,
    n_images: int,
    settings: SaliencySettings,
    node: str | None,
    data: Mapping[str, Any] | None,
    regions: Regions,
    per_patient: int = 0,
    device: str,
) -> Run:
    """See `trilineage.images.explain`; `data` are reading options with the path among them."""
    opened = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    _require_own_images(per_patient, data)
    stored = read_model(opened, prediction_weights(opened), device=choose_device(device))
    material, positions = _chosen_images(
        _reading(stored.config, data), n_images, regions, is_new=data is not None
    )
    explained = _look(stored, material, positions, node)
    maps = make_maps(stored, explained, settings, only=node is not None)
    opened.write_bytes("explain/maps.npz", maps.to_bytes())
    _write_panels(opened, explained, maps)
    scores = _region_scores(explained, maps, regions, stored)
    scores += _faithfulness(stored, explained, maps, settings)
    opened.add_scores(scores, "explain/scores.json")
    if settings.method != "rollout":
        opened.write_json("explain/randomisation.json", _randomisation(stored, explained, maps, settings))
    if per_patient:
        write_patient_cells(opened, stored, settings, per_patient)
    return opened


def _require_own_images(per_patient: int, data: Mapping[str, Any] | None) -> None:
    """Refuse to look for the cells that tell in images that the Run has not decided."""
    if per_patient and data is not None:
        raise ConfigError(
            "cells are shown for the test patients of the Run, and other images were named",
            seen=f"per_patient={per_patient}, data={data.get('path')}",
            allowed="one of the two",
            remedy="leave out `data`, or set per_patient=0",
        )


def _reading(config: Config, data: Mapping[str, Any] | None) -> Config:
    """Return the configuration under which the images to explain are read."""
    if data is None:
        return config
    named = {key if key == "label_map" else f"data.{key}": value for key, value in data.items()}
    columns = {f"data.{key}": None for key in COLUMN_OPTIONS}
    fresh: dict[str, Any] = {"data.format": "auto", "data.keep": (), "data.classes": (), "train_sites": ()}
    return config.replace(**{**columns, **fresh, **named})


def _chosen_images(
    config: Config, n_images: int, regions: Regions, *, is_new: bool
) -> tuple[Material, Int[np.ndarray, " chosen"]]:
    """Return images to explain: of the test part or of new data, evenly over nodes, those with regions."""
    material = gather(config)
    inside = np.arange(len(material.cohort))
    if not is_new:
        inside = split_patients(material, config)[0].positions("test")
    if not regions.is_empty:
        known = known_stems(regions)
        has_region = np.array(
            [Path(name).stem in known for name in material.cohort.samples[inside]], dtype=bool
        )
        if not has_region.any():
            raise ConfigError(
                "no image to explain has a mask or box",
                seen=f"{len(inside):,} images, {len(known):,} files with regions",
                allowed="masks named as their image, boxes with its file name",
                remedy="name the folder of the right set",
            )
        inside = inside[has_region]
    draw = generator(config.seed, "explained images")
    order = inside[draw.permutation(len(inside))]
    turn = np.zeros(len(order), dtype=np.int64)
    for code in np.unique(material.nodes[order]):
        of_node = material.nodes[order] == code
        turn[of_node] = np.arange(of_node.sum())
    return material, np.sort(order[np.argsort(turn, kind="stable")][:n_images])


def _look(
    stored: Stored, material: Material, positions: Int[np.ndarray, " chosen"], node: str | None
) -> Explained:
    """Decode the chosen images and find what they were called."""
    table = material.table.subset(positions)
    pixels = ImageBatches(table).take(np.arange(len(table))).pixels
    device = next(stored.model.parameters()).device
    with torch.inference_mode():
        log_p = torch.cat([stored.model(part.to(device)) for part in pixels.split(32)]).double().cpu().numpy()
    taxonomy = stored.taxonomy
    if stored.calibration is not None:
        log_p = apply_node_temperatures(log_p, stored.calibration, taxonomy)
    called = decode(np.exp(log_p), taxonomy, stored.config.evaluation.rule)
    captions = tuple(
        f"{material.cohort.labels[position]}, called {taxonomy.nodes[code]}"
        for position, code in zip(positions, called, strict=True)
    )
    codes = called if node is None else np.full(len(table), taxonomy.index(node))
    return Explained(table, material.cohort.patients[positions], pixels.to(device), codes, captions)


def _write_panels(run: Run, explained: Explained, maps: SaliencyMaps) -> None:
    """Draw contact sheets of a few images each, and list them."""
    images = np.stack([explained.table.read_sized(n) for n in range(len(explained.table))])
    listed = []
    for start in range(0, len(images), _PER_PANEL):
        chosen = np.arange(start, min(start + _PER_PANEL, len(images)))
        part = SaliencyMaps(
            maps.values[chosen],
            maps.targets.take(chosen),
            maps.images[start : start + _PER_PANEL],
            maps.method,
            maps.image_size,
        )
        name = f"explain/panel_{start // _PER_PANEL:02d}.png"
        sheet = contact_sheet(images[chosen], part, captions=[explained.captions[n] for n in chosen])
        run.write_bytes(name, png_bytes(sheet))
        listed.append({"picture": name, "caption": "; ".join(explained.table.names[chosen].tolist())})
    run.write_json("explain/panels.json", listed)


# ---- scores against regions -----------------------------------------------------------------------------------------


def _region_scores(explained: Explained, maps: SaliencyMaps, regions: Regions, stored: Stored) -> list[Score]:
    """Score the map of the last node of each path against the cell, beside maps of noise."""
    if regions.is_empty:
        return []
    found = region_masks(explained.table, regions)
    last = deepest(maps.targets)
    noise = random_maps(len(last), 1, maps.values.shape[2:], maps.image_size, seed=derive_seed(0, "noise"))
    subjects = {
        maps.method: _last_maps(maps, np.arange(len(last))),
        "random map": noise[:, 0],
    }
    scores: list[Score] = []
    for subject, values in subjects.items():
        rows = [_against(values[n], found[n]) for n in range(len(found))]
        numbers = {key: (np.array([row[key] for row in rows]), _SHARE) for key in rows[0]}
        scores += mean_scores(
            numbers,
            explained.patients,
            explained.codes,
            subject=subject,
            level=stored.config.evaluation.level,
            seed=stored.config.seed,
        )
    return scores


def _against(values: Float[np.ndarray, "height width"], masks: dict[str, np.ndarray]) -> dict[str, float]:
    cell = localisation(values, masks["cell"], tolerance=_TOLERANCE * min(values.shape))
    row = {
        "pointing": cell.pointing,
        "pointing_by_chance": cell.pointing_by_chance,
        "energy_inside": cell.energy,
        "energy_by_chance": cell.energy_by_chance,
        "iou": cell.iou,
    }
    if "nucleus" in masks:
        ordered = {"nucleus": masks["nucleus"], "cytoplasm": masks["cell"]}
        shares, areas = region_shares(values, ordered), area_shares(ordered, values.shape)  # type: ignore[arg-type]
        row |= {f"{name}_share": share for name, share in shares.items()}
        row |= {f"{name}_area": share for name, share in areas.items()}
    return row


def _last_maps(
    maps: SaliencyMaps, chosen: Int[np.ndarray, " chosen"]
) -> Float[np.ndarray, "chosen height width"]:
    """Return the map of the last target of some images on their pixels."""
    last = deepest(maps.targets)
    return np.stack([maps.at_image_size(int(n))[last[n]] for n in chosen])


# ---- whether maps are true ------------------------------------------------------------------------------------------


def _faithfulness(
    stored: Stored, explained: Explained, maps: SaliencyMaps, settings: SaliencySettings
) -> list[Score]:
    """Score deletion and insertion of the last node of each path, beside maps of noise."""
    chosen = np.arange(min(_N_FAITHFUL, len(explained.codes)))
    last = deepest(maps.targets)[chosen]
    rows = [(NodeTarget(int(maps.targets.nodes[n, d])),) for n, d in zip(chosen, last, strict=True)]
    targets = Targets.from_rows(rows, stored.taxonomy.nodes)
    noise = random_maps(len(chosen), 1, maps.values.shape[2:], maps.image_size, seed=derive_seed(1, "noise"))
    subjects = {maps.method: _last_maps(maps, chosen)[:, None], "random map": noise}
    scores: list[Score] = []
    for subject, values in subjects.items():
        curves = perturbation_curves(
            stored.model, explained.pixels[chosen], targets, values.astype(np.float32), fill="blur"
        )
        numbers = {
            "deletion_auc": (curves.deletion_auc[:, 0], _COSTLY),
            "insertion_auc": (curves.insertion_auc[:, 0], _SHARE),
        }
        scores += mean_scores(
            numbers,
            explained.patients[chosen],
            explained.codes[chosen],
            subject=subject,
            level=stored.config.evaluation.level,
            seed=stored.config.seed,
        )
    return scores


def _randomisation(
    stored: Stored, explained: Explained, maps: SaliencyMaps, settings: SaliencySettings
) -> dict[str, Any]:
    """Return how much of the maps is left when the weights are shuffled, from the head down."""
    chosen = np.arange(min(_N_RANDOMISED, len(explained.codes)))
    model, codes = stored.model, explained.codes[chosen]
    taxonomy = stored.taxonomy
    if isinstance(model, ParentNetworks):
        model, codes = _root_network(model, codes)
        taxonomy = model.head.taxonomy  # type: ignore[assignment]
    targets = node_targets(taxonomy, codes, against=settings.against_siblings, only=True)
    quiet = settings.replace(empty="nan")

    def made(classifier: Any) -> Float[np.ndarray, "image target row column"]:
        return explain_images(classifier, explained.pixels[chosen], targets, settings=quiet).values

    found = randomisation_check(model, made, seed=stored.config.seed)
    with np.errstate(invalid="ignore"):
        means = [None if np.isnan(part).all() else float(np.nanmean(part)) for part in found.correlations]
    return {"parts": list(found.parts), "correlations": means, "n_images": len(chosen)}


def _root_network(
    model: ParentNetworks, codes: Int[np.ndarray, " image"]
) -> tuple[ImageClassifier, Int[np.ndarray, " image"]]:
    """Return the model of the root and the child of the root above each node."""
    taxonomy = model.taxonomy
    children = taxonomy.children_of(0)
    place = [
        next(n for n, child in enumerate(children, 1) if taxonomy.ancestors[code, child]) for code in codes
    ]
    return model.network_of(taxonomy.root), np.array(place, dtype=np.int64)
