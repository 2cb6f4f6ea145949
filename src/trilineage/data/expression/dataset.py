"""Expression data behind one face, in memory or on disk: samples in, minibatches of sparse rows out."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int, Int64, Shaped
from scipy import sparse

from trilineage.core.errors import ColumnError
from trilineage.core.seeding import generator
from trilineage.data.expression.columns import ColumnMap, chosen_genes
from trilineage.data.expression.genes import GeneAlignment, GeneTable, align_genes
from trilineage.data.expression.normalise import LinearRows, linear_rows, normalised
from trilineage.data.expression.rows import ExpressionBatch, RawRows
from trilineage.data.expression.rows_kernels import add_groups
from trilineage.data.expression.state import MatrixState

_WALK = 4096
"""Samples handled at once when all of them are walked."""
_ALIGNMENT_SAMPLES = 2048
"""Samples looked at to tell which share of the counts an alignment loses."""
_LEAST_CONTENT = 25
"""Samples with fewer expressed genes can be equal by chance; their name is part of their hash."""


@runtime_checkable
class RowStore(Protocol):
    """Where rows come from: compact in memory, or blocks on disk."""

    n_rows: int
    n_columns: int

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        ...

    def gather(self, positions: Int64[np.ndarray, " cell"]) -> RawRows:
        """Return rows in the order asked for."""
        ...

    def order(
        self, positions: Int64[np.ndarray, " cell"], rng: np.random.Generator
    ) -> Int64[np.ndarray, " cell"]:
        """Return the positions in a random order that suits the store."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class View(NamedTuple):
    """How the rows of a store are seen."""

    obs: pd.DataFrame
    """Sample table, one row per row of the store."""
    genes: GeneTable
    """Genes of the rows handed out."""
    columns: ColumnMap
    """From the columns of the store to the genes."""
    state: MatrixState
    """What the stored values are."""
    target_sum: float
    """Total per sample after normalisation."""
    keys: Mapping[str, str | None]
    """Column of the sample table by role: label, patient, cell_type, site; None where there is none."""
    notes: tuple[str, ...]
    """Sentences about guesses and corrections made while opening."""
    alignment: GeneAlignment | None = None
    """How the genes were matched to those of a model, if they were."""


class Expression:
    """Samples with their expression, sample table, genes and the state of the values.

    Parameters
    ----------
    store
        Where rows come from.
    view
        How they are seen.
    fingerprint
        Computes the SHA-256 of the data.
    """

    def __init__(self, store: RowStore, view: View, fingerprint: Callable[[], str]):
        self._store, self._view, self._fingerprint = store, view, fingerprint
        self.obs, self.genes, self.state, self.notes = view.obs, view.genes, view.state, view.notes
        self.keys, self.alignment = dict(view.keys), view.alignment

    @property
    def n_obs(self) -> int:
        """Number of samples."""
        return self._store.n_rows

    @property
    def n_vars(self) -> int:
        """Number of genes of the rows handed out."""
        return len(self.genes)

    @property
    def obs_names(self) -> Shaped[np.ndarray, " cell"]:
        """Names of the samples (str)."""
        return self.obs.index.to_numpy(dtype=np.str_)

    @property
    def has_counts(self) -> bool:
        """Whether the stored values are raw counts."""
        return self.state.kind == "counts"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the data: of the bytes of the file, or of the content for data that came from memory."""
        return self._fingerprint()

    @property
    def nbytes(self) -> int:
        """Bytes of the matrix held in memory."""
        return self._store.nbytes

    def column(self, role: str) -> Shaped[np.ndarray, " cell"]:
        """Return the column of a role (label, patient, cell_type, site) as texts; an empty text where it is absent.

        Raises
        ------
        ColumnError
            If no column has this role.
        """
        key = self.keys.get(role)
        if key is None:
            raise ColumnError(
                f"no column is known as the {role}",
                allowed=", ".join(map(str, self.obs.columns)) or "no column at all",
                remedy=f"name it with {role}_key=...",
            )
        values = self.obs[key]
        return np.where(values.isna(), "", values.astype(str)).astype(np.str_)

    def take(self, positions: Int[np.ndarray, " cell"]) -> ExpressionBatch:
        """Return samples as sparse rows, normalised, with their raw counts if there are any.

        Parameters
        ----------
        positions
            Rows of the sample table, in any order, repeated or not.
        """
        positions = self._checked(positions)
        linear = self._linear(positions)
        rows = linear.rows
        values = normalised(linear, self.state, self._view.target_sum)
        library = np.ones(len(positions), np.float32)
        if self.has_counts:
            library = np.where(linear.totals > 0, linear.totals, 1.0).astype(np.float32)
        counts = rows.values if self.has_counts else None
        return ExpressionBatch(rows.indptr, rows.indices, values, counts, library, positions, self.n_vars)

    def order(
        self, positions: Int[np.ndarray, " cell"], *, seed: int, epoch: int
    ) -> Int64[np.ndarray, " cell"]:
        """Return the positions in the random order of an epoch: a pure function of the arguments.

        In memory this is a permutation; on disk blocks of rows are shuffled and mixed (see `DiskRows`), so that
        `take`n in this order every block is read once.
        """
        return self._store.order(self._checked(positions), generator(seed, "order", epoch))

    def align(
        self, model_genes: GeneTable, *, model_share: Float64[np.ndarray, " gene"] | None = None
    ) -> GeneAlignment:
        """Match our genes to those of a model, with the share of our counts that the model cannot see."""
        step = max(1, self.n_obs // _ALIGNMENT_SAMPLES)
        totals = None
        if self.state.is_linear_additive:
            totals = self._sums(np.arange(0, self.n_obs, step))
        return align_genes(model_genes, self.genes, data_totals=totals, model_share=model_share)

    def aligned(self, alignment: GeneAlignment) -> "Expression":
        """Return the same samples seen through the genes of a model.

        Genes the data lack are absent from every row (see `alignment.missing`); totals per sample are taken over the
        matched genes, as in training, corrected by `alignment.expected_share`.
        """
        return self._with_genes(alignment.target, alignment.genes, alignment)

    def subset_genes(self, positions: Int[np.ndarray, " kept"]) -> "Expression":
        """Return the same samples with some of the genes; totals per sample still include the others."""
        positions = positions.astype(np.int64)
        return self._with_genes(
            chosen_genes(positions, self.n_vars), self.genes.take(positions), self.alignment
        )

    def to_csr(self, positions: Int[np.ndarray, " cell"], *, counts: bool = False) -> sparse.csr_matrix:
        """Return samples as a SciPy matrix (cell gene) of normalised values, or of counts."""
        return self.take(positions).to_csr(counts=counts)

    def group_sums(
        self,
        groups: Int[np.ndarray, " cell"],
        n_groups: int,
        positions: Int[np.ndarray, " cell"] | None = None,
    ) -> Float64[np.ndarray, "group gene"]:
        """Sum samples by group: raw counts where there are counts, else normalised values.

        Parameters
        ----------
        groups
            Group of each of the positions, 0 to n_groups - 1; below 0 is left out.
        positions
            Rows of the sample table; None means all.
        """
        positions = self._all_or(positions)
        out = np.zeros((n_groups, self.n_vars), np.float64)
        for part, batch in self._walk(positions):
            values = batch.counts if batch.counts is not None else batch.values
            add_groups(batch.indptr, batch.indices, values, groups.astype(np.int64)[part], out)
        return out

    def mean(self, positions: Int[np.ndarray, " cell"] | None = None) -> Float64[np.ndarray, " gene"]:
        """Return the mean normalised value of each gene."""
        positions = self._all_or(positions)
        out = np.zeros((1, self.n_vars), np.float64)
        for _, batch in self._walk(positions):
            zeros = np.zeros(len(batch.positions), np.int64)
            add_groups(batch.indptr, batch.indices, batch.values, zeros, out)
        return out[0] / max(1, len(positions))

    def gene_share(self, positions: Int[np.ndarray, " cell"] | None = None) -> Float64[np.ndarray, " gene"]:
        """Return the share of all counts (linear values) that each gene holds; sums to 1."""
        sums = self._sums(self._all_or(positions))
        return sums / sums.sum() if sums.sum() > 0 else sums

    def content_hashes(
        self, positions: Int[np.ndarray, " cell"] | None = None
    ) -> Shaped[np.ndarray, " cell"]:
        """Return a hash of the stored values of each sample: equal for samples that are copies under another name.

        Samples with fewer than 25 expressed genes can coincide by chance, so theirs include the sample's name.
        """
        positions = self._all_or(positions)
        names = self.obs_names
        hashes = []
        for start in range(0, len(positions), _WALK):
            part = positions[start : start + _WALK]
            rows = self._view.columns.apply(self._store.gather(part))
            hashes += [_row_hash(rows, i, str(names[position])) for i, position in enumerate(part)]
        return np.array(hashes, dtype="<U32")

    def close(self) -> None:
        """Close the file of data on disk."""
        self._store.close()

    def _with_genes(self, target: Any, genes: GeneTable, alignment: GeneAlignment | None) -> "Expression":
        average = not self.state.is_linear_additive
        columns = self._view.columns.then(target, len(genes), average=average)
        view = self._view._replace(genes=genes, columns=columns, alignment=alignment)
        return Expression(self._store, view, self._fingerprint)

    def _linear(self, positions: Int64[np.ndarray, " cell"]) -> LinearRows:
        share = 1.0 if self.alignment is None else self.alignment.expected_share
        return linear_rows(
            self._store.gather(positions),
            self.state,
            self._view.columns,
            total_over_genes=self.alignment is not None,
            expected_share=share,
        )

    def _sums(self, positions: Int64[np.ndarray, " cell"]) -> Float64[np.ndarray, " gene"]:
        out = np.zeros((1, self.n_vars), np.float64)
        for start in range(0, len(positions), _WALK):
            part = positions[start : start + _WALK]
            rows = self._linear(part).rows
            add_groups(rows.indptr, rows.indices, rows.values, np.zeros(len(part), np.int64), out)
        return out[0]

    def _walk(self, positions: Int64[np.ndarray, " cell"]) -> Iterator[tuple[slice, ExpressionBatch]]:
        for start in range(0, len(positions), _WALK):
            part = slice(start, start + _WALK)
            yield part, self.take(positions[part])

    def _all_or(self, positions: Int[np.ndarray, " cell"] | None) -> Int64[np.ndarray, " cell"]:
        return np.arange(self.n_obs, dtype=np.int64) if positions is None else self._checked(positions)

    def _checked(self, positions: Int[np.ndarray, " cell"]) -> Int64[np.ndarray, " cell"]:
        if len(positions) and (positions.min() < 0 or positions.max() >= self.n_obs):
            raise IndexError(f"positions from {positions.min()} to {positions.max()} of {self.n_obs} samples")
        return positions.astype(np.int64)


def _row_hash(rows: RawRows, row: int, name: str) -> str:
    part = slice(rows.indptr[row], rows.indptr[row + 1])
    digest = hashlib.blake2b(rows.indices[part].tobytes(), digest_size=16)
    digest.update(rows.values[part].tobytes())
    if rows.indptr[row + 1] - rows.indptr[row] < _LEAST_CONTENT:
        digest.update(name.encode())
    return digest.hexdigest()
