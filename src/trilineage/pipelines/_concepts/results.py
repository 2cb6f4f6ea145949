"""Everything that a fit finds out, written to its Run as it becomes known."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.data.splits import split_table
from trilineage.data.tokens.reader import TokenReader
from trilineage.pipelines._concepts.coding import Coded
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.dictionary import Dictionaries, reconstruct
from trilineage.pipelines._concepts.material import Material
from trilineage.pipelines._concepts.patients import keep_barcodes, make_barcodes
from trilineage.pipelines._concepts.testing import Examined, examine, judge, parts_of
from trilineage.pipelines._concepts.verdicts import figures_of, target_rows, verdict, write_concepts
from trilineage.training.place import Place

RECONSTRUCTION, FIGURES, TARGETS = "reconstruction.json", "figures.json", "targets.json"


def write_results(
    run: Run,
    material: Material,
    coded: Iterable[Coded],
    found: Dictionaries,
    reader: TokenReader,
    config: Config,
    place: Place,
) -> None:
    """Reconstruct, examine, judge, decide and make barcodes; write all of it."""
    run.write_table("split.csv", split_table(material.cohort, (material.split,)))
    parts = parts_of(material, config)
    examined: list[Examined] = []
    reconstruction: list[dict[str, Any]] = []
    for one in coded:
        reconstruction += _reconstruction(one, reader, material)
        measured, codes = examine(one, material, parts, config)
        examined.append(measured)
        if len(examined) == 1:
            barcodes = make_barcodes(
                codes, one.store.source, material.cohort, uses_cls=config.barcode.with_cls
            )
            keep_barcodes(run, barcodes)
    run.write_json(RECONSTRUCTION, reconstruction)
    run.write_json(TARGETS, target_rows(examined))
    likeness = judge(examined, material, parts, config, place)
    verdicts = [verdict(one, likeness[one.subject], config) for one in examined]
    stability = [None] * len(examined)
    figures = [
        figures_of(one, likeness[one.subject], verdicts[n], stability[n]) for n, one in enumerate(examined)
    ]
    run.write_json(FIGURES, figures)
    write_concepts(run, examined[0], likeness[examined[0].subject], verdicts[0], stability[0])


def _reconstruction(one: Coded, reader: TokenReader, material: Material) -> list[dict[str, Any]]:
    """Score how well a dictionary stands for the tokens of training and of held-out images."""
    rows = []
    for part in ("train", "test"):
        images = material.split.positions(part)  # type: ignore[arg-type]
        if len(images) == 0:
            continue
        chosen = images[np.linspace(0, len(images) - 1, min(len(images), N_RECONSTRUCTED)).astype(np.int64)]
        tally = reconstruct(one.member, reader, chosen)
        for kind in ("all", "cls", "patch"):
            scores = tally.scores(kind).to_dict()  # type: ignore[arg-type]
            if scores["n_tokens"]:
                rows.append(
                    {"subject": one.subject, "part": part, "kind": kind, "n_images": len(chosen), **scores}
                )
    return rows


N_RECONSTRUCTED = 2000
"""Images whose reconstruction is scored, evenly over the part."""
