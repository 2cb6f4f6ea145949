"""Compare variants and backbones on the same splits: one Run each, paired differences over patients."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.records import Comparison, NodePrediction, Score, Unit
from trilineage.core.seeding import derive_seed
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.scores import compare_nodes
from trilineage.pipelines._images.config import Config
from trilineage.pipelines._images.store import TAXONOMY, read_nodes
from trilineage.pipelines._runs import begin_run
from trilineage.pipelines._variants import (
    combinations,
    named,
    require_variants,
    under_variant,
    variant_folder,
    variant_table,
)
from trilineage.training.distributed import main_process_first
from trilineage.training.place import choose_place

KIND = "images.compare"
VARIANTS: Mapping[str, Sequence[Any]] = {
    "hierarchy.variant": ("flat", "base", "multilabel"),
    "backbone.name": ("vit_small_patch16_384", "convnext_tiny.in12k_ft_in1k_384"),
}
"""What is compared unless something else is asked for: the published variants and backbones."""

logger = logging.getLogger(__name__)


def compare_variants(
    config: Config,
    out: Path,
    *,
    vary: Mapping[str, Sequence[Any]] | None,
    device: str,
    overwrite: bool,
    fit: Callable[..., Run],
) -> Run:
    """Fit every combination and compare all pairs; see `trilineage.images.compare`."""
    grid = VARIANTS if vary is None else vary
    require_variants(grid)
    candidates = combinations(grid)
    variants = {named(candidate): config.replace(**candidate) for candidate in candidates}
    place = choose_place(config.seed, device)
    data = {"path": str(config.data.path)}
    command = f"trilineage images compare --data {config.data.path} --out {out}"
    whole = begin_run(
        out,
        kind=KIND,
        config=config,
        seed=config.seed,
        command=command,
        data=data,
        place=place,
        overwrite=overwrite,
    )
    scores: list[Score] = []
    predictions: dict[str, NodePrediction] = {}
    for number, (name, variant) in enumerate(variants.items()):
        logger.info("variant %d of %d: %s", number + 1, len(variants), name)
        run = fit(variant, out / variant_folder(number), device=device)
        predictions[name] = read_nodes(run)
        scores += [
            under_variant(score, name) for score in run.scores() if score.subject == "model" or number == 0
        ]
    with main_process_first(place.processes):
        if place.processes.is_main:
            taxonomy = Taxonomy.from_toml(run.read_text(TAXONOMY))
            whole.add_scores(scores)
            whole.add_comparisons(_differences(predictions, taxonomy, scores, config))
            whole.write_table("variants.csv", variant_table(list(variants), candidates))
            for name in ("cohort.json", "split.csv", TAXONOMY):
                whole.write_bytes(name, run.read_bytes(name))
            whole.finish()
    return Run.open(out)


def _differences(
    predictions: Mapping[str, NodePrediction], taxonomy: Taxonomy, scores: Sequence[Score], config: Config
) -> list[Comparison]:
    """Compare every variant with every one before it, on the same images."""
    names = list(predictions)
    units: tuple[Unit, ...] = tuple(dict.fromkeys(score.unit for score in scores))
    rows: list[Comparison] = []
    for later in range(1, len(names)):
        for earlier in range(later):
            first, second = predictions[names[later]], predictions[names[earlier]]
            if not np.array_equal(first.samples, second.samples):
                logger.warning("%s was scored on other images than %s", names[later], names[earlier])
                continue
            for unit in units:
                rows += compare_nodes(
                    first,
                    second,
                    taxonomy,
                    names=(names[later], names[earlier]),
                    unit=unit,
                    settings=config.evaluation,
                    seed=derive_seed(config.seed, "evaluation"),
                )
    return rows
