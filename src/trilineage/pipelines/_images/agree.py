"""Agreement between people and the model of a Run: kappa of every two readers, with the model as one of them."""

from pathlib import Path
from typing import Any

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.errors import CohortError
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.agreement import (
    compare_to_readers,
    disagreement_table,
    score_agreement,
    taxonomy_costs,
)
from trilineage.evaluation.hierarchy.patients import decide
from trilineage.evaluation.readers import ReaderTable, read_reader_table
from trilineage.pipelines._images.config import Config
from trilineage.pipelines._images.store import KIND, TAXONOMY, read_nodes

MODEL = "model"
LABELS = "labels"
"""Name of the reader who gave the labels of the data set."""


def agree_with_readers(run: Run | Path | str, readers: Path, *, columns: dict[str, Any]) -> Run:
    """See `trilineage.images.agree`."""
    opened = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    config = opened.config(Config)
    taxonomy = Taxonomy.from_toml(opened.read_text(TAXONOMY))
    table = _with_model(read_reader_table(readers, **columns), opened, taxonomy, config)
    costs = taxonomy_costs(taxonomy)
    scores = score_agreement(table, costs=costs, seed=config.seed)
    opened.add_scores(scores, "agreement/scores.json")
    if len(table.readers) > 3:
        comparison = compare_to_readers(table, MODEL, costs=costs, seed=config.seed)
        opened.add_comparisons([comparison], "agreement/comparisons.json")
    pairs = [(first, second) for n, second in enumerate(table.readers) for first in table.readers[:n]]
    tables = [{"readers": pair, **disagreement_table(table, *pair)} for pair in pairs]
    opened.write_json("agreement/tables.json", tables)
    return opened


def _with_model(table: ReaderTable, run: Run, taxonomy: Taxonomy, config: Config) -> ReaderTable:
    """Add the labels of the data set and the decisions of the model on its test images, all as nodes."""
    prediction = read_nodes(run)
    decisions = decide(prediction, taxonomy, rule=config.evaluation.rule).decisions
    by_stem = {Path(str(name)).stem: place for place, name in enumerate(prediction.samples)}
    places = np.array([by_stem.get(Path(str(item)).stem, -1) for item in table.items])
    read = np.flatnonzero(places >= 0)
    if len(read) == 0:
        raise CohortError(
            "the readers have read none of the test images of the Run",
            seen=f"{len(table.items):,} items such as {table.items[0]}",
            allowed=f"names such as {prediction.samples[0]}",
            remedy="give the table of these images, or name its column of images",
        )
    people = np.stack(
        [_as_nodes(table, place, taxonomy, config)[read] for place in range(len(table.readers))], axis=1
    )
    known = prediction.labels if prediction.labels is not None else np.full(len(prediction.samples), -1)
    codes = np.concatenate([people, known[places[read]][:, None], decisions[places[read]][:, None]], axis=1)
    return ReaderTable(
        items=table.items[read],
        readers=(*table.readers, LABELS, MODEL),
        categories=taxonomy.nodes,
        codes=codes.astype(np.int64),
        patients=prediction.patients[places[read]],
    )


def _as_nodes(table: ReaderTable, reader: int, taxonomy: Taxonomy, config: Config) -> np.ndarray:
    """Return the nodes a reader named; -1 where none."""
    names = np.array([*table.categories, ""], dtype=str)
    return taxonomy.codes(names[table.codes[:, reader]], config.label_map or None)
