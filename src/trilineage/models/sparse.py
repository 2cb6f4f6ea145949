"""Minibatches of sparse rows as tensors, and their product with a dense weight that touches only non-zeros."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numba
import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64
from torch import Tensor

from trilineage.core.errors import ConfigError, MatrixError
from trilineage.data.expression.rows import ExpressionBatch
from trilineage.models import sparse_kernels

Backend = Literal["auto", "numba", "torch"]
"""Who computes: compiled loops on the CPU, torch operations on any device, or whichever fits the device."""

_ROW_BLOCK = 256
"""Sparse rows a thread takes at a time: their output (256 kB at width 256) shares the L2 cache with the weight."""
_ROW_COST = 16
"""Fixed cost of a sparse row, in non-zeros, when rows are shared out among threads."""
_DENSE_CHUNK = 2**26
"""Elements (256 MB) that the torch path makes dense at a time."""


class Columns:
    """The non-zeros of a batch sorted by gene, then cell: what the gradient of a (gene, hidden) weight walks over.

    Attributes
    ----------
    indptr
        Start of each gene in the two arrays below, and the end of the last.
    cells, values
        Cell and normalised value of each non-zero; views with a step of two into one array of pairs.
    sums
        Sum of the values of each gene.
    square_sum
        Sum of all squared values (a single-precision dot product of millions of terms is off by 1e-5).
    """

    def __init__(self, batch: "SparseBatch"):
        indptr, indices, values = batch.numpy()
        pairs = np.empty(indptr[-1] - indptr[0], np.int64)
        bits, n_parts = values.view(np.uint32), use_torch_threads()
        self.indptr: Int64[np.ndarray, " gene_plus_1"] = sparse_kernels.transpose(
            indptr, indices, bits, batch.n_genes, n_parts, pairs
        )
        low = 0 if np.little_endian else 1
        self.cells: Int32[np.ndarray, " nnz"] = pairs.view(np.int32)[1 - low :: 2]
        self.values: Float32[np.ndarray, " nnz"] = pairs.view(np.float32)[low::2]
        sums, squares = sparse_kernels.segment_sums(self.indptr, self.values)
        self.sums: Float32[np.ndarray, " gene"] = sums.astype(np.float32)
        self.square_sum = float(squares.sum())


@dataclass(frozen=True)
class SparseBatch:
    """Cells of a minibatch as compressed sparse rows of tensors, all on one device."""

    indptr: Int64[Tensor, " cell_plus_1"]
    """Start of each cell in `indices`, `values` and `counts`, and the end of the last; the first need not be 0."""
    indices: Int32[Tensor, " nnz"]
    """Gene of each value, ascending within a cell."""
    values: Float32[Tensor, " nnz"]
    """Normalised values (log1p), what the encoder sees."""
    counts: Float32[Tensor, " nnz"] | None
    """Raw counts at the same places; None where the data hold none."""
    library: Float32[Tensor, " cell"]
    """Total counts per cell (1 where the data hold no counts)."""
    n_genes: int
    """Width of the matrix."""

    @classmethod
    def from_rows(cls, rows: ExpressionBatch, device: torch.device | str = "cpu") -> Self:
        """Share the arrays of a minibatch with torch (on the CPU nothing is copied).

        Raises
        ------
        MatrixError
            If gene indices do not ascend within a cell, or lie outside the matrix: the loops trust them.
        """
        use_torch_threads()
        if not sparse_kernels.rows_are_sound(rows.indptr, rows.indices, rows.n_genes):
            raise MatrixError(
                "gene indices of a minibatch do not ascend within a cell, or lie outside the matrix",
                allowed=f"strictly ascending indices in [0, {rows.n_genes})",
                remedy="sum duplicated entries and sort the indices of the matrix",
            )
        batch = cls(
            torch.from_numpy(rows.indptr),
            torch.from_numpy(rows.indices),
            torch.from_numpy(rows.values),
            None if rows.counts is None else torch.from_numpy(rows.counts),
            torch.from_numpy(rows.library),
            rows.n_genes,
        )
        return batch.to(device)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.indptr) - 1

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.values.device

    @cached_property
    def columns(self) -> Columns:
        """The same non-zeros sorted by gene; made once, shared by the encoder's gradient and the Gram decoder."""
        return Columns(self)

    def to(self, device: torch.device | str) -> Self:
        """Return the batch on another device (itself if it is there already)."""
        if torch.device(device) == self.device:
            return self
        return type(self)(
            self.indptr.to(device),
            self.indices.to(device),
            self.values.to(device),
            None if self.counts is None else self.counts.to(device),
            self.library.to(device),
            self.n_genes,
        )

    def cells(self, start: int, stop: int) -> Self:
        """Return the cells from start to stop; the non-zeros are shared, not copied."""
        return type(self)(
            self.indptr[start : stop + 1],
            self.indices,
            self.values,
            self.counts,
            self.library[start:stop],
            self.n_genes,
        )

    def dense(self, *, counts: bool = False) -> Float[Tensor, "cell gene"]:
        """Return normalised values, or raw counts, with their zeros; differentiable with respect to `values`."""
        data = self.counts if counts else self.values
        if data is None:
            raise MatrixError(
                "raw counts are asked of data that hold none",
                remedy="choose loss=squared_error, or the layer of the file that holds counts",
            )
        first, last = int(self.indptr[0]), int(self.indptr[-1])
        cell = torch.repeat_interleave(self.indptr.diff(), output_size=last - first)
        place = cell * self.n_genes + self.indices[first:last]
        flat = torch.zeros(self.n_cells * self.n_genes, dtype=data.dtype, device=data.device)
        return flat.scatter(0, place, data[first:last]).view(self.n_cells, self.n_genes)

    def numpy(
        self,
    ) -> tuple[Int64[np.ndarray, " cell_plus_1"], Int32[np.ndarray, " nnz"], Float32[np.ndarray, " nnz"]]:
        """Return indptr, indices and values as arrays that share their memory (CPU only)."""
        return self.indptr.numpy(), self.indices.numpy(), self.values.detach().numpy()


def choose_backend(backend: Backend, device: torch.device) -> Literal["numba", "torch"]:
    """Resolve "auto" for a device: compiled loops on the CPU, torch elsewhere.

    Raises
    ------
    ConfigError
        If the compiled loops are asked for on another device than the CPU.
    """
    if backend == "numba" and device.type != "cpu":
        raise ConfigError(
            "the compiled loops run on the CPU only",
            seen=f"device {device}",
            remedy="choose backend auto or torch",
        )
    if backend == "auto":
        return "numba" if device.type == "cpu" else "torch"
    return backend


def use_torch_threads() -> int:
    """Let numba use as many threads as torch does, and return that number."""
    n_threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(n_threads)
    return n_threads


def sparse_matmul(
    batch: SparseBatch, weight: Float[Tensor, "gene hidden"], *, backend: Backend = "auto"
) -> Float[Tensor, "cell hidden"]:
    """Multiply the normalised values of a batch by a weight stored (gene, hidden), in float32.

    Differentiable with respect to the weight, and with respect to `batch.values` where they require a gradient.

    Notes
    -----
    The compiled path walks the non-zeros once, a tile of the weight at a time so that it stays in the L2 cache; its
    cost grows with the non-zeros, not with the genes. The torch path makes up to 256 MB of rows dense at a time: on a
    GPU that is faster than a sparse product at the 2-20 % density of expression.
    """
    product: Tensor = _SparseMatmul.apply(batch.values, weight, batch, choose_backend(backend, weight.device))
    return product


class _SparseMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, batch: SparseBatch, backend: str) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.batch, ctx.backend = batch, backend
        return multiply(batch, weight.detach(), compiled=backend == "numba")

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (weight,) = ctx.saved_tensors
        compiled = ctx.backend == "numba"
        values_gradient = weight_gradient = None
        if ctx.needs_input_grad[0]:
            values_gradient = _sample_products(ctx.batch, gradient, weight, compiled=compiled)
        if ctx.needs_input_grad[1]:
            weight_gradient = multiply_transposed(ctx.batch, gradient, compiled=compiled)
        return values_gradient, weight_gradient, None, None


def multiply(
    batch: SparseBatch, weight: Float[Tensor, "gene hidden"], *, compiled: bool
) -> Float[Tensor, "cell hidden"]:
    """Return X W without a graph, X the normalised values."""
    if not compiled:
        out = torch.empty(batch.n_cells, weight.shape[1], device=weight.device)
        for start, stop in _chunks(batch):
            out[start:stop] = _exact(batch.cells(start, stop).dense(), weight.float())
        return out
    indptr, indices, values = batch.numpy()
    return _run(indptr, indices, values, weight.float().contiguous().numpy())


def multiply_transposed(
    batch: SparseBatch, dense: Float[Tensor, "cell hidden"], *, compiled: bool
) -> Float[Tensor, "gene hidden"]:
    """Return X' D without a graph, X the normalised values."""
    dense = dense.float()
    if not compiled:
        out = torch.zeros(batch.n_genes, dense.shape[1], device=dense.device)
        for start, stop in _chunks(batch):
            out += _exact(batch.cells(start, stop).dense().T, dense[start:stop])
        return out
    columns = batch.columns
    return _run(columns.indptr, columns.cells, columns.values, dense.contiguous().numpy())


def _run(
    indptr: Int64[np.ndarray, " row_plus_1"],
    indices: Int32[np.ndarray, " nnz"],
    values: Float32[np.ndarray, " nnz"],
    dense: Float32[np.ndarray, "inner hidden"],
) -> Float32[Tensor, "row hidden"]:
    """Share the rows out among the threads by their work and multiply."""
    work = indptr + _ROW_COST * np.arange(len(indptr))
    marks = np.linspace(work[0], work[-1], use_torch_threads() + 1)
    bounds = np.searchsorted(work, marks).astype(np.int64)
    bounds[-1] = len(indptr) - 1
    out = empty(len(indptr) - 1, dense.shape[1])
    sparse_kernels.multiply(indptr, indices, values, dense, bounds, _ROW_BLOCK, out.numpy())
    return out


def empty(n_rows: int, n_columns: int) -> Float32[Tensor, "row column"]:
    """Return uninitialised CPU memory taken through NumPy, which asks for huge pages: first touches cost less."""
    return torch.from_numpy(np.empty((n_rows, n_columns), np.float32))


def _sample_products(
    batch: SparseBatch,
    left: Float[Tensor, "cell hidden"],
    right: Float[Tensor, "gene hidden"],
    *,
    compiled: bool,
) -> Float[Tensor, " nnz"]:
    """Return left[cell] . right[gene] at every non-zero."""
    out = torch.zeros_like(batch.values)
    if compiled:
        indptr, indices, _ = batch.numpy()
        use_torch_threads()
        arrays = (left.float().contiguous().numpy(), right.detach().float().contiguous().numpy())
        sparse_kernels.sample_products(indptr, indices, *arrays, out.numpy())
        return out
    for start, stop in _chunks(batch):
        here = slice(int(batch.indptr[start]), int(batch.indptr[stop]))
        cell = torch.repeat_interleave(batch.indptr[start : stop + 1].diff())
        out[here] = _exact(left[start:stop], right.T)[cell, batch.indices[here].long()]
    return out


def _exact(left: Tensor, right: Tensor) -> Tensor:
    """Multiply in float32 whatever automatic mixed precision is on: log-counts keep their digits."""
    with torch.autocast(left.device.type, enabled=False):
        return left.float() @ right.float()


def _chunks(batch: SparseBatch) -> list[tuple[int, int]]:
    """Divide the cells so that no dense piece exceeds `_DENSE_CHUNK` elements."""
    step = max(1, _DENSE_CHUNK // max(1, batch.n_genes))
    return [(start, min(start + step, batch.n_cells)) for start in range(0, batch.n_cells, step)]
