"""Exact squared error of a linear reconstruction of sparse rows: by Gram matrices, or densely a few cells at a time."""

from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from trilineage.models.sparse import SparseBatch, multiply, multiply_transposed, use_torch_threads
from trilineage.training.objectives.chunked import OutputLayer, chunked_loss
from trilineage.training.objectives.squared_error_kernels import squares_and_gradient

SPARSE_COST = 4.0
"""Time of one multiplication at a non-zero, in multiplications of a dense product (measured 3 to 5 on AVX2 cores)."""
CANCELLATION_LIMIT = 0.02
"""The Gram form is a difference of large sums; an error below this share of the sum of squares is computed densely."""


def squared_error(
    batch: SparseBatch, layer: OutputLayer, *, compiled: bool, form: Literal["auto", "gram", "dense"] = "auto"
) -> Float64[Tensor, ""]:
    """Return the sum over cells and genes of (V z + b - x)^2, x the normalised values.

    Parameters
    ----------
    batch
        Cells with their normalised values.
    layer
        Hidden activations z, output weight V and bias b.
    compiled
        Whether the compiled loops may be used (CPU).
    form
        `gram` needs no (cell, gene) array; `dense` makes chunks of one; `auto` takes the cheaper (see `prefers_gram`).

    Notes
    -----
    With X the sparse values, Z the hidden activations and B cells, the Gram form is

        <V'V, Z'Z> + 2 (V'b).(Z'1) + B b.b - 2 (<XV, Z> + b.(X'1)) + <X, X>

    and its gradients 2 (V Z'Z + b (Z'1)' - X'Z), 2 (V (Z'1) + B b - X'1) and 2 (Z V'V + 1 (V'b)' - XV): they touch the
    genes only through V'V, V (Z'Z) and the non-zeros. Sums are accumulated in float64. The form is an identity, not an
    approximation.
    """
    if form == "gram" or (form == "auto" and compiled and prefers_gram(batch, layer.weight.shape[1])):
        terms = _gram_terms(batch, layer, compiled=compiled)
        if terms.loss >= CANCELLATION_LIMIT * terms.square_sum:
            result: Tensor = _GramSquaredError.apply(*layer[:3], batch, terms, compiled)
            return result
    return chunked_loss(batch, layer, _CompiledChunk() if compiled else _TorchChunk())


def prefers_gram(batch: SparseBatch, width: int) -> bool:
    """Tell whether the Gram form is the cheaper one, from a count of multiplications.

    Dense: three products of cells x genes x width. Gram: two of genes x width x width, and two passes over the
    non-zeros that cost `SPARSE_COST` each. So Gram wins roughly where the batch exceeds 0.8 of the width.
    """
    n_nonzero = int(batch.indptr[-1] - batch.indptr[0])
    dense = 3.0 * batch.n_cells * batch.n_genes
    gram = 2.0 * batch.n_genes * width + 2.0 * SPARSE_COST * n_nonzero
    return gram < dense


class _GramTerms(NamedTuple):
    loss: float
    square_sum: float
    weight_gram: Float32[Tensor, "hidden hidden"]
    hidden_gram: Float32[Tensor, "hidden hidden"]
    projected: Float32[Tensor, "cell hidden"]
    weight_bias: Float32[Tensor, " hidden"]
    hidden_sum: Float32[Tensor, " hidden"]
    gene_sums: Float32[Tensor, " gene"]


@torch.no_grad()
def _gram_terms(batch: SparseBatch, layer: OutputLayer, *, compiled: bool) -> _GramTerms:
    with torch.autocast(layer.hidden.device.type, enabled=False):
        hidden, weight, bias = layer.hidden.float(), layer.weight.float(), layer.bias.float()
        weight_gram, hidden_gram = weight.T @ weight, hidden.T @ hidden
        weight_bias, hidden_sum = weight.T @ bias, hidden.sum(dim=0)
        projected = multiply(batch, weight, compiled=compiled)
        gene_sums, square_sum = _value_sums(batch, compiled=compiled)
    loss = (
        _dot(weight_gram, hidden_gram) + 2 * _dot(weight_bias, hidden_sum) + batch.n_cells * _dot(bias, bias)
    )
    loss += square_sum - 2 * (_dot(projected, hidden) + _dot(gene_sums, bias))
    return _GramTerms(
        loss, square_sum, weight_gram, hidden_gram, projected, weight_bias, hidden_sum, gene_sums
    )


def _value_sums(batch: SparseBatch, *, compiled: bool) -> tuple[Float32[Tensor, " gene"], float]:
    """Return the sum of the values of each gene, and the sum of all squares."""
    if compiled:
        return torch.from_numpy(batch.columns.sums), batch.columns.square_sum
    here = slice(int(batch.indptr[0]), int(batch.indptr[-1]))
    values = batch.values[here].detach().double()
    sums = torch.zeros(batch.n_genes, dtype=torch.float64, device=batch.device)
    return sums.index_add_(0, batch.indices[here], values).float(), float(values.square().sum())


def _dot(left: Float[Tensor, "*axes"], right: Float[Tensor, "*axes"]) -> float:
    return float(torch.dot(left.flatten().double(), right.flatten().double()))


class _GramSquaredError(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        batch: SparseBatch,
        terms: _GramTerms,
        compiled: bool,
    ) -> Tensor:
        ctx.save_for_backward(hidden, weight, bias)
        ctx.batch, ctx.terms, ctx.compiled = batch, terms, compiled
        return torch.tensor(terms.loss, dtype=torch.float64, device=hidden.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias = (tensor.float() for tensor in ctx.saved_tensors)
        terms: _GramTerms = ctx.terms
        factor = 2 * float(scale)
        with torch.autocast(hidden.device.type, enabled=False):
            to_hidden = (
                torch.addmm(terms.weight_bias, hidden, terms.weight_gram).sub_(terms.projected).mul_(factor)
            )
            to_weight = multiply_transposed(ctx.batch, hidden, compiled=ctx.compiled)
            to_weight.addmm_(weight, terms.hidden_gram, beta=-factor, alpha=factor)
            to_weight.addr_(bias, terms.hidden_sum, alpha=factor)
            to_bias = torch.addmv(bias, weight, terms.hidden_sum, beta=ctx.batch.n_cells)
            to_bias.sub_(terms.gene_sums).mul_(factor)
        return to_hidden, to_weight, to_bias, None, None, None


class _CompiledChunk:
    """Squared error of a chunk by the compiled pass."""

    def __call__(
        self,
        batch: SparseBatch,
        outputs: tuple[Float32[Tensor, "cell gene"], ...],
        log_theta: Float[Tensor, " gene"] | None,
        *,
        with_gradient: bool,
    ) -> tuple[Float64[Tensor, ""], Float32[Tensor, " gene"] | None]:
        row_sums = torch.empty(batch.n_cells, dtype=torch.float64)
        use_torch_threads()
        squares_and_gradient(*batch.numpy(), outputs[0].numpy(), row_sums.numpy())
        return row_sums.sum(), None


class _TorchChunk:
    """Squared error of a chunk by torch operations, on any device."""

    def __call__(
        self,
        batch: SparseBatch,
        outputs: tuple[Float32[Tensor, "cell gene"], ...],
        log_theta: Float[Tensor, " gene"] | None,
        *,
        with_gradient: bool,
    ) -> tuple[Float64[Tensor, ""], Float32[Tensor, " gene"] | None]:
        difference = outputs[0].sub_(batch.dense())
        row_sums = difference.square().sum(dim=1).double()
        difference.mul_(2)
        return row_sums.sum(), None
