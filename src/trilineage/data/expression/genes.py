"""Genes of a table and their alignment to the genes of a model, with a report of what was matched and lost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int32, Int64, Shaped

from trilineage.core.errors import FormatError, GeneAlignmentError

_ENSEMBL = re.compile(r"^(ENS[A-Z]{0,4}G\d{6,})(\.\d+)?$", re.IGNORECASE)
_SYMBOL_COLUMNS = (
    "feature_name", "gene_symbols", "gene_symbol", "gene_name", "gene_names", "symbol", "symbols",
    "gene_short_name", "hgnc_symbol", "name", "gene",
)  # fmt: skip
_ID_COLUMNS = (
    "gene_ids", "gene_id", "ensembl", "ensembl_id", "ensembl_ids", "ensembl_gene_id", "feature_id", "ensemblid", "id",
)  # fmt: skip
_NO_NAME = ("", "nan", "none", "na")
_N_NAMED = 20
"""Genes named one by one in a report; the rest is counted."""


@dataclass(frozen=True)
class GeneTable:
    """Ensembl ids (without version) and symbols of the genes; an empty text where one is not known."""

    ids: Shaped[np.ndarray, " gene"]
    """Ensembl gene ids, upper case, without version."""
    symbols: Shaped[np.ndarray, " gene"]
    """Gene symbols (or probe names) as the file has them."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> Shaped[np.ndarray, " gene"]:
        """Symbol of each gene, or its id where it has none."""
        return np.where(self.symbols != "", self.symbols, self.ids)

    @property
    def keys(self) -> Shaped[np.ndarray, " gene"]:
        """What tells genes apart: the id, or the symbol where there is no id."""
        return np.where(self.ids != "", self.ids, self.symbols)

    def take(self, positions: Int64[np.ndarray, " kept"]) -> "GeneTable":
        """Return some of the genes."""
        return GeneTable(self.ids[positions], self.symbols[positions])


@dataclass(frozen=True)
class GeneAlignment:
    """Where each gene of the data goes among the genes of a model, and what is missing."""

    target: Int32[np.ndarray, " data_gene"]
    """Model gene of each data gene, -1 where the model does not know it."""
    genes: GeneTable
    """The genes of the model."""
    missing: Bool[np.ndarray, " gene"]
    """Model genes that the data do not have."""
    duplicated: tuple[str, ...]
    """Model genes that several data genes map to (summed)."""
    renamed: tuple[tuple[str, str], ...]
    """Pairs (name in the model, name in the data) matched by id or by ignoring case."""
    n_by_id: int
    """Model genes matched by Ensembl id."""
    n_by_symbol: int
    """Model genes matched by their exact symbol."""
    n_by_case: int
    """Model genes matched by symbol ignoring case (another species, or another spelling)."""
    share_counts_lost: float | None = None
    """Share of the data's counts in genes the model does not know; None where not computed."""
    expected_share: float = 1.0
    """Share of a sample's counts that the matched genes held in training: totals are divided by it."""

    @property
    def n_matched(self) -> int:
        """Number of model genes found in the data."""
        return int((~self.missing).sum())

    @property
    def share_matched(self) -> float:
        """Share of the model's genes found in the data, in [0, 1]."""
        return self.n_matched / len(self.genes)

    def report(self) -> dict[str, Any]:
        """Return the alignment as JSON-ready numbers and the first names of each list."""
        missing = self.genes.names[self.missing]
        return {
            "n_model_genes": len(self.genes),
            "n_data_genes": len(self.target),
            "n_matched": self.n_matched,
            "share_matched": self.share_matched,
            "n_by_id": self.n_by_id,
            "n_by_symbol": self.n_by_symbol,
            "n_by_case": self.n_by_case,
            "n_missing": int(self.missing.sum()),
            "missing": [str(name) for name in missing[:_N_NAMED]],
            "n_duplicated": len(self.duplicated),
            "duplicated": list(self.duplicated[:_N_NAMED]),
            "n_renamed": len(self.renamed),
            "renamed": [list(pair) for pair in self.renamed[:_N_NAMED]],
            "n_unknown_to_model": int((self.target < 0).sum()),
            "share_counts_lost": self.share_counts_lost,
            "expected_share": self.expected_share,
        }

    def require(self, min_share: float = 0.5) -> "GeneAlignment":
        """Return the alignment if enough of the model's genes are there.

        Parameters
        ----------
        min_share
            Least share of the model's genes, in [0, 1]; 0 accepts anything but no gene at all.

        Raises
        ------
        GeneAlignmentError
            If fewer genes are matched, or none.
        """
        if self.n_matched and self.share_matched >= min_share:
            return self
        example_model = ", ".join(self.genes.names[:3])
        raise GeneAlignmentError(
            "too few genes in common with the model"
            if self.n_matched
            else "no gene in common with the model",
            seen=f"{self.n_matched:,} of {len(self.genes):,} model genes ({self.share_matched:.1%}; "
            f"the model's first genes are {example_model})",
            allowed=f"at least {min_share:.0%}",
            remedy="check species and identifiers, or lower the least share of genes to go on at your own risk",
        )


def gene_table(names: Sequence[str], var: pd.DataFrame | None = None) -> GeneTable:
    """Find ids and symbols in the names of the matrix columns and in the table beside them.

    Parameters
    ----------
    names
        Column names (var_names): Ensembl ids with or without version, or symbols.
    var
        Table with one row per gene that may hold the other kind of name.
    """
    index = _texts(names)
    ids = np.array([_stripped(name) for name in index], dtype=np.str_)
    symbols = np.where(ids == "", index, "")
    columns = {} if var is None else {str(column).lower(): column for column in var.columns}
    for wanted in _ID_COLUMNS:
        if wanted in columns and (ids == "").any():
            found = np.array([_stripped(name) for name in _texts(var[columns[wanted]])], dtype=np.str_)  # type: ignore[index]
            ids = np.where(ids == "", found, ids)
    for wanted in _SYMBOL_COLUMNS:
        if wanted in columns and (symbols == "").any():
            found = _texts(var[columns[wanted]])  # type: ignore[index]
            found = np.where([_stripped(name) == "" for name in found], found, "")
            symbols = np.where(symbols == "", found, symbols)
    return GeneTable(ids, symbols)


def merge_duplicates(table: GeneTable) -> tuple[GeneTable, Int32[np.ndarray, " column"]]:
    """Give every gene one place: columns with the same id (or, without ids, the same symbol) share it.

    Returns
    -------
    tuple
        The genes in the order of their first column, and the gene of each column.

    Raises
    ------
    FormatError
        If a column has neither an id nor a symbol.
    """
    keys = table.keys
    if (keys == "").any():
        raise FormatError(
            "genes without a name",
            seen=f"{int((keys == '').sum())} of {len(keys)} columns",
            remedy="name every gene in var",
        )
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return table.take(first[order].astype(np.int64)), place[inverse.reshape(-1)].astype(np.int32)


def align_genes(
    model: GeneTable,
    data: GeneTable,
    *,
    data_totals: Float[np.ndarray, " data_gene"] | None = None,
    model_share: Float[np.ndarray, " gene"] | None = None,
) -> GeneAlignment:
    """Match the genes of the data to those of a model: by Ensembl id, else by symbol, else ignoring case.

    Parameters
    ----------
    model
        Genes the model was trained on.
    data
        Genes of the data.
    data_totals
        Counts per data gene, to report the share lost.
    model_share
        Share of a sample's counts per model gene in training (sums to 1): corrects totals for missing genes.
    """
    target = np.full(len(data), -1, np.int32)
    n_by_id = _match(target, _positions(model.ids), data.ids)
    n_by_symbol = _match(target, _unmatched(model.symbols, target), data.symbols)
    n_by_case = _match(target, _unmatched(_folded(model.symbols), target), _folded(data.symbols))
    missing = np.ones(len(model), np.bool_)
    missing[target[target >= 0]] = False
    n_sources = np.bincount(target[target >= 0], minlength=len(model))
    lost = None
    if data_totals is not None and data_totals.sum() > 0:
        lost = float(data_totals[target < 0].sum() / data_totals.sum())
    expected = 1.0 if model_share is None else float(model_share[~missing].sum())
    return GeneAlignment(
        target=target,
        genes=model,
        missing=missing,
        duplicated=tuple(str(name) for name in model.names[n_sources > 1]),
        renamed=_renamed(model, data, target),
        n_by_id=n_by_id,
        n_by_symbol=n_by_symbol,
        n_by_case=n_by_case,
        share_counts_lost=lost,
        expected_share=expected if expected > 0 else 1.0,
    )


def _texts(values: Any) -> Shaped[np.ndarray, " gene"]:
    texts = [str(value).strip() for value in values]
    return np.array(["" if text.lower() in _NO_NAME else text for text in texts], dtype=np.str_)


def _stripped(name: str) -> str:
    """Return an Ensembl gene id without version, or nothing if the name is no such id."""
    match = _ENSEMBL.match(str(name))
    return match.group(1).upper() if match else ""


def _folded(names: Shaped[np.ndarray, " gene"]) -> Shaped[np.ndarray, " gene"]:
    return np.array([name.upper() for name in names], dtype=np.str_)


def _positions(names: Shaped[np.ndarray, " gene"]) -> dict[str, int]:
    """Return the first place of each name that is not empty."""
    places: dict[str, int] = {}
    for place, name in enumerate(names.tolist()):
        if name:
            places.setdefault(name, place)
    return places


def _unmatched(names: Shaped[np.ndarray, " gene"], target: Int32[np.ndarray, " data_gene"]) -> dict[str, int]:
    """Return the places of the names whose model gene has no data gene yet."""
    taken = set(target[target >= 0].tolist())
    return _positions(
        np.array([name if i not in taken else "" for i, name in enumerate(names)], dtype=np.str_)
    )


def _match(
    target: Int32[np.ndarray, " data_gene"], places: dict[str, int], names: Shaped[np.ndarray, " data_gene"]
) -> int:
    """Fill the targets still open from a dictionary of names; returns how many model genes were found."""
    found = set()
    for i in np.flatnonzero(target < 0):
        place = places.get(str(names[i]))
        if place is not None:
            target[i] = place
            found.add(place)
    return len(found)


def _renamed(
    model: GeneTable, data: GeneTable, target: Int32[np.ndarray, " data_gene"]
) -> tuple[tuple[str, str], ...]:
    pairs = []
    for i in np.flatnonzero(target >= 0):
        ours, theirs = str(model.symbols[target[i]]), str(data.symbols[i])
        if ours and theirs and ours != theirs:
            pairs.append((ours, theirs))
    return tuple(pairs)
