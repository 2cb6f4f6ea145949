"""Diagnose a new file with the model of a Run: align its genes, encode, classify, write the result."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from trilineage.core.artifacts import Run
from trilineage.core.provenance import package_version
from trilineage.core.records import Prediction
from trilineage.data.expression.annotate import Annotations, write_annotated
from trilineage.data.expression.genes import GeneAlignment
from trilineage.data.expression.open import Expression, ExpressionSettings, open_expression
from trilineage.evaluation.calibration import apply_temperature
from trilineage.pipelines._rna.config import Config
from trilineage.pipelines._rna.store import KIND, Stored, read_diagnoser
from trilineage.pipelines._runs import patient_table, prediction_weights
from trilineage.training.diagnosis import classify, encode
from trilineage.training.distributed import choose_device

MIN_GENE_SHARE = 0.5
"""Least share of the model's genes that a file must have unless another is asked for."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Diagnosis:
    """Predictions for the samples of one file."""

    prediction: Prediction
    """Calibrated probabilities; labels are None."""
    latent: Float32[np.ndarray, "cell latent"]
    """Latent of each sample."""
    alignment: dict[str, Any]
    """Genes matched, missing, duplicated, renamed, and the share of counts lost."""
    patients: dict[str, list[Any]]
    """Table of patients: samples, class called, mean probabilities."""


def predict_file(
    run: Run | Path | str,
    data: Path,
    *,
    out: Path | None,
    min_gene_share: float | None,
    device: str,
    options: Mapping[str, Any],
) -> Diagnosis:
    """Diagnose every sample of a file; see `trilineage.rna.predict`."""
    run, stored = open_stored(run, device)
    expression = open_expression(reading_options(stored.config, {"path": str(data), **options}))
    result = diagnose(stored, expression, min_gene_share)
    if out is not None:
        write_annotated(expression, data, out, annotations_of(result, run))
    return result


def open_stored(run: Run | Path | str, device: str) -> tuple[Run, Stored]:
    """Open a finished Run and the diagnoser in it."""
    run = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    return run, read_diagnoser(run, prediction_weights(run), device=choose_device(device))


def diagnose(stored: Stored, expression: Expression, min_gene_share: float | None) -> Diagnosis:
    """Diagnose every sample of opened data."""
    aligned, alignment = align_to(stored, expression, min_gene_share)
    rows = np.arange(expression.n_obs)
    latent = encode(stored.diagnoser.encoder, aligned, rows, missing=alignment.missing)
    logits = classify(stored.diagnoser.classifier, latent)
    prediction = Prediction(
        samples=expression.obs_names,
        patients=_patients(expression),
        classes=stored.classes,
        probabilities=apply_temperature(logits, float(stored.diagnoser.temperature)),
    )
    return Diagnosis(prediction, latent, alignment.report(), patient_table(prediction))


def reading_options(config: Config, options: Mapping[str, Any]) -> ExpressionSettings:
    """Read new data as the training data were normalised, with their own columns guessed anew."""
    return ExpressionSettings.load(None, {"target_sum": config.data.target_sum, **options})


def align_to(
    stored: Stored, expression: Expression, min_share: float | None
) -> tuple[Expression, GeneAlignment]:
    """See a file through the genes of the model, refusing it if too few are there."""
    alignment = expression.align(stored.genes, model_share=stored.gene_share)
    alignment.require(MIN_GENE_SHARE if min_share is None else min_share)
    report = alignment.report()
    logger.info(
        "genes: %d of %d matched, %d missing, %d duplicated, %d renamed",
        *(report[key] for key in ("n_matched", "n_model_genes", "n_missing", "n_duplicated", "n_renamed")),
    )
    return expression.aligned(alignment), alignment


def annotations_of(result: Diagnosis, run: Run) -> Annotations:
    """Put a diagnosis into AnnData's words."""
    prediction = result.prediction
    classes = np.array(prediction.classes)
    called = prediction.probabilities.argmax(axis=1)
    return Annotations(
        obs={
            "trilineage_prediction": pd.Categorical(classes[called], categories=list(prediction.classes)),
            "trilineage_probability": prediction.probabilities.max(axis=1),
        },
        obsm={"X_trilineage": result.latent, "trilineage_probabilities": prediction.probabilities},
        uns={
            "trilineage": {
                "classes": classes,
                "patients": pd.DataFrame(result.patients),
                "alignment": _plain(result.alignment),
                **origin_of(run),
            }
        },
    )


def origin_of(run: Run) -> dict[str, Any]:
    """Return where annotations come from, as h5ad can hold it."""
    return {
        "run": str(run.path.resolve()),
        "run_config_sha256": run.manifest["config_sha256"],
        "version": package_version(),
        "notice": "Research use only. Not a medical device.",
    }


def _patients(expression: Expression) -> np.ndarray:
    """Return the patient of each sample; a sample without one stands for itself."""
    if expression.keys.get("patient") is None:
        return expression.obs_names
    patients = expression.column("patient")
    return np.where(patients == "", expression.obs_names, patients)


def _plain(report: Mapping[str, Any]) -> dict[str, Any]:
    """Write lists as arrays of texts and leave out what is unknown, as h5ad needs."""
    plain: dict[str, Any] = {}
    for key, value in report.items():
        if isinstance(value, list):
            plain[key] = np.array(
                [" -> ".join(map(str, v)) if isinstance(v, list) else str(v) for v in value], dtype=str
            )
        elif value is not None:
            plain[key] = value
    return plain
