"""A study: one Run per combination of options, all on the same split, compared over the same patients."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.files import sha256_file
from trilineage.core.records import Comparison, Prediction, Score, Unit
from trilineage.core.seeding import derive_seed
from trilineage.evaluation.comparison import compare_predictions
from trilineage.pipelines._rna.config import Config
from trilineage.pipelines._variants import (
    combinations,
    named,
    require_variants,
    under_variant,
    variant_folder,
    variant_table,
)
from trilineage.training.distributed import Processes, choose_device, join_processes, main_process_first

KIND = "rna.study"

logger = logging.getLogger(__name__)


def study_variants(
    config: Config,
    out: Path,
    *,
    vary: Mapping[str, Sequence[Any]],
    device: str,
    overwrite: bool,
    fit: Callable[..., Run],
) -> Run:
    """Fit every combination and compare each with the first; see `trilineage.rna.study`."""
    candidates = combinations(vary)
    require_variants(vary)
    variants = {named(candidate): config.replace(**candidate) for candidate in candidates}
    processes = join_processes(choose_device(device))
    study = _open_study(config, out, processes, overwrite=overwrite)
    scores: list[Score] = []
    predictions: dict[str, Prediction] = {}
    for number, (name, variant) in enumerate(variants.items()):
        logger.info("variant %d of %d: %s", number + 1, len(variants), name)
        run = fit(variant, out / variant_folder(number), device=device, baselines=number == 0)
        predictions[name] = run.predictions()
        scores += [
            under_variant(score, name) for score in run.scores() if score.subject == "model" or number == 0
        ]
    with main_process_first(processes):
        if processes.is_main:
            study.add_scores(scores)
            study.add_comparisons(_differences(predictions, scores, config))
            study.write_table("variants.csv", variant_table(list(variants), candidates))
            study.finish()
    return Run.open(out)


def _open_study(config: Config, out: Path, processes: Processes, *, overwrite: bool) -> Run:
    data = {"path": str(config.data.path)}
    path = Path(str(config.data.path))
    if path.is_file():
        data["sha256"] = sha256_file(path)
    with main_process_first(processes):
        if processes.is_main:
            return Run.create(out, kind=KIND, config=config, seed=config.seed, data=data, overwrite=overwrite)
    return Run.open(out, kind=KIND)


def _differences(
    predictions: dict[str, Prediction], scores: Sequence[Score], config: Config
) -> list[Comparison]:
    """Compare every variant with the first where both scored the same samples."""
    (base, first), *others = predictions.items()
    found_units: tuple[Unit, ...] = tuple(dict.fromkeys(score.unit for score in scores))
    population = scores[0].population
    rows: list[Comparison] = []
    for name, prediction in others:
        if not np.array_equal(prediction.samples, first.samples):
            logger.warning("%s was scored on other samples than %s: no paired difference", name, base)
            continue
        for unit in found_units:
            rows += compare_predictions(
                prediction,
                first,
                names=(name, base),
                unit=unit,
                settings=config.evaluation,
                seed=derive_seed(config.seed, "evaluation"),
                population=population,
            )
    return rows
