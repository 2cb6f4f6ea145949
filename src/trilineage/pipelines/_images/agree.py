"""Agreement between people and the model of a Run: kappa of every two readers, with the model as one of them."""

from dataclasses import replace
from functools import partial
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
    names, known = np.array([*taxonomy.nodes, ""]), prediction.labels
    known = np.full(len(prediction.samples), -1) if known is None else known
    table = table.subset(read).renamed(partial(_node, taxonomy, config), categories=taxonomy.nodes)
    table = replace(table, patients=prediction.patients[places[read]])
    for reader, codes in ((LABELS, known), (MODEL, decisions)):
        table = table.with_reader(reader, table.items, names[codes[places[read]]])
    return table


def _node(taxonomy: Taxonomy, config: Config, label: str) -> str:
    """Return the node a label names, or nothing where it is left out."""
    code = int(taxonomy.codes(np.array([label]), config.label_map or None)[0])
    return taxonomy.nodes[code] if code >= 0 else ""
