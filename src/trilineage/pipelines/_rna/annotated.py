"""The rna recipe on AnnData objects: what is read from them, and what is written back."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from trilineage.core.artifacts import Run
from trilineage.core.errors import ConfigError
from trilineage.data.expression.annotate import AnnData, Annotations, annotate
from trilineage.data.expression.open import Expression, from_anndata
from trilineage.pipelines._rna.config import Config
from trilineage.pipelines._rna.predict import (
    Diagnosis,
    annotations_of,
    diagnose,
    open_stored,
    origin_of,
    reading_options,
)
from trilineage.training.diagnosis import encode

UNUSED = "unused"


def annotated_config(config: Config, keys: Mapping[str, str | None]) -> Config:
    """Return a configuration that reads an open AnnData: columns as named, and no path.

    Raises
    ------
    ConfigError
        If the configuration names a file.
    """
    if config.data.path is not None or config.data.obs_path is not None:
        raise ConfigError(
            "the configuration names a file, and an AnnData was given as well",
            seen=config.data.path or config.data.obs_path,
            allowed="a configuration without data.path and data.obs_path",
            remedy="leave them out, or use trilineage.rna.fit for the file",
        )
    return config.replace(**{f"data.{name}": key for name, key in keys.items() if key is not None})


def run_folder(out: Path | str | None) -> Path:
    """Return the folder of the Run; without one, a new temporary folder, which stays."""
    return Path(tempfile.mkdtemp(prefix="trilineage-rna-") if out is None else out)


def write_back(adata: AnnData, run: Run, expression: Expression, device: str) -> None:
    """Write what a fit found out into the AnnData it learned from; see `trilineage.rna.fit_adata`."""
    run, stored = open_stored(run, device)
    rows = np.arange(expression.n_obs)
    prediction = run.predictions()
    place = {name: row for row, name in enumerate(expression.obs_names.tolist())}
    tested = np.array([place[name] for name in prediction.samples.tolist()], dtype=np.int64)
    probabilities = np.full((expression.n_obs, len(prediction.classes)), np.nan)
    probabilities[tested] = prediction.probabilities
    called = np.full(expression.n_obs, -1)
    called[tested] = prediction.probabilities.argmax(axis=1)
    annotations = Annotations(
        obs={
            "trilineage_prediction": pd.Categorical.from_codes(called, categories=list(prediction.classes)),
            "trilineage_part": pd.Categorical(_parts(run, place, tested)),
        },
        obsm={
            "X_trilineage": encode(stored.diagnoser.encoder, expression, rows),
            "trilineage_probabilities": probabilities,
        },
        uns={"trilineage": _summary(run, prediction.classes)},
    )
    annotate(adata, annotations)


def predict_annotated(
    run: Run | Path | str,
    adata: AnnData,
    *,
    min_gene_share: float | None,
    device: str,
    options: Mapping[str, Any],
) -> Diagnosis:
    """Diagnose the samples of an AnnData and write the result into it; see `trilineage.rna.predict_adata`."""
    run, stored = open_stored(run, device)
    expression = from_anndata(adata, reading_options(stored.config, options))
    result = diagnose(stored, expression, min_gene_share)
    annotate(adata, annotations_of(result, run))
    return result


def _parts(run: Run, place: Mapping[str, int], tested: np.ndarray) -> Shaped[np.ndarray, " cell"]:
    """Return the part each sample played: `test` where it was held out in any split, else that of the first split."""
    table = run.read_table("split.csv")
    parts = np.full(len(place), UNUSED, dtype="<U6")
    first = table["fold"][0]
    for sample, fold, part in zip(table["sample"], table["fold"], table["part"], strict=True):
        if fold == first:
            parts[place[sample]] = part
    parts[tested] = "test"
    return parts


def _summary(run: Run, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return scores, split and origin of a fit as h5ad can hold them."""
    scores = pd.DataFrame([score.to_dict() for score in run.scores()])
    for name in ("value", "low", "high"):
        scores[name] = scores[name].astype(np.float64)
    split = run.config(Config).split
    described = {name: str(value) for name, value in split.to_dict().items() if value is not None}
    return {
        "classes": np.array(classes, dtype=str),
        "scores": scores,
        "split": {**described, "file": "split.csv of the Run"},
        **origin_of(run),
    }
