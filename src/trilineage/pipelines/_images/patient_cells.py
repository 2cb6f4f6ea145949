"""The cells that tell for each test patient: a picture of each beside its map, and what it did to the decision."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from trilineage.core.artifacts import Run
from trilineage.core.progress import progress
from trilineage.data.images.batches import ImageBatches
from trilineage.evaluation.hierarchy.decoding import decode
from trilineage.evaluation.hierarchy.patients import decide_patients
from trilineage.evaluation.hierarchy.telling import TellingImages, telling_images
from trilineage.explain.concepts.crops import strip
from trilineage.explain.overlays import overlay, png_bytes
from trilineage.explain.saliency.methods import SaliencySettings
from trilineage.pipelines._images.maps import Explained, deepest, make_maps
from trilineage.pipelines._images.material import Material, gather
from trilineage.pipelines._images.store import Stored, read_nodes

CELLS = "explain/patients.csv"
"""Which cells of which patient, and what each did."""
_AT_ONCE = 64
"""Images whose pixels are held at a time."""
_TILE = 160
"""Pixels of the height of a cell and of its map."""


def write_patient_cells(run: Run, stored: Stored, settings: SaliencySettings, n_images: int) -> None:
    """Choose, draw and list the cells that tell for each test patient.

    Which cells tell is read from the predictions of the test images. The maps are those of the model that predicts:
    after a cross-validation it has seen these patients, unlike the model whose predictions are shown.

    Parameters
    ----------
    n_images
        Cells of a patient, at most.
    """
    prediction, rules = read_nodes(run), stored.config.evaluation
    decided = decide_patients(prediction, stored.taxonomy, rule=rules.patient_rule, decoding=rules.rule)
    telling = telling_images(prediction, decided, stored.taxonomy, n_images=n_images, rule=rules.patient_rule)
    material = gather(stored.config)
    places = {str(name): place for place, name in enumerate(material.cohort.samples)}
    positions = np.array([places[str(prediction.samples[image])] for image in telling.images])
    with progress("telling cells", len(positions), "images") as meter:
        for number, picture in enumerate(_pictures(stored, material, positions, telling, settings)):
            run.write_bytes(picture_name(number), png_bytes(picture))
            meter.advance()
    called = decode(prediction.probabilities[telling.images], stored.taxonomy, rules.rule)
    nodes = stored.taxonomy.nodes
    columns: dict[str, list[Any]] = {
        "patient": decided.prediction.patients[telling.patients].tolist(),
        "decision": [nodes[code] for code in decided.decisions[telling.patients]],
        "node": [nodes[code] for code in telling.nodes],
        "image": prediction.samples[telling.images].tolist(),
        "picture": [picture_name(number) for number in range(len(positions))],
        "speaks": ["for" if speaks_for else "against" for speaks_for in telling.speaks_for],
        "called": [nodes[code] for code in called],
        "probability": telling.probability.tolist(),
        "patient_probability": telling.of_patient.tolist(),
        "influence": telling.influence.tolist(),
    }
    run.write_table(CELLS, columns)


def picture_name(number: int) -> str:
    """Return the file of a picture by its row in the table."""
    return f"explain/patients/{number:05d}.png"


def _pictures(
    stored: Stored,
    material: Material,
    positions: Int[np.ndarray, " shown"],
    telling: TellingImages,
    settings: SaliencySettings,
) -> Iterator[UInt8[np.ndarray, "rows columns 3"]]:
    """Give each cell beside the map of the node explained, some at a time."""
    device = next(stored.model.parameters()).device
    for start in range(0, len(positions), _AT_ONCE):
        chosen = slice(start, start + _AT_ONCE)
        table = material.table.subset(positions[chosen])
        pixels = ImageBatches(table).take(np.arange(len(table))).pixels.to(device)
        patients = material.cohort.patients[positions[chosen]]
        explained = Explained(table, patients, pixels, telling.nodes[chosen], ())
        maps = make_maps(stored, explained, settings.replace(empty="nan"), only=True)
        last = deepest(maps.targets)
        for number in range(len(table)):
            cell = np.ascontiguousarray(table.read_sized(number))
            yield strip([cell, overlay(cell, maps.at_image_size(number)[last[number]])], tile=_TILE)
