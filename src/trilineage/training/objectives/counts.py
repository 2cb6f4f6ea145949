"""Negative log-likelihood of raw counts under NB and ZINB: fused in compiled loops, or by torch operations."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor
from torch.nn.functional import softplus

from trilineage.core.errors import MatrixError
from trilineage.models.sparse import SparseBatch, use_torch_threads
from trilineage.training.objectives import counts_kernels
from trilineage.training.objectives.chunked import OutputLayer, chunked_loss

LOG_THETA_LIMIT = 15.0
"""log_theta is held within plus or minus this: from almost always zero to Poisson, with room in single precision."""


def count_loss(batch: SparseBatch, layer: OutputLayer, *, compiled: bool) -> Float64[Tensor, ""]:
    """Return the negative log-likelihood of the raw counts, summed over cells and genes.

    Parameters
    ----------
    batch
        Cells with raw counts and library sizes.
    layer
        Output layer with `log_theta`; with `dropout_weight` and `dropout_bias` the likelihood is ZINB, else NB.
    compiled
        Whether the compiled loops may be used (CPU).

    Raises
    ------
    MatrixError
        If the batch holds no raw counts.

    Notes
    -----
    Counts x of gene g in a cell of library size l have mean m = l softmax(V z + b)_g and dispersion
    theta = exp(log_theta_g), with variance m + m^2 / theta. ZINB adds a zero with probability sigmoid(U z + c)_g.
    As in scVI (Lopez et al. 2018, doi:10.1038/s41592-018-0229-2, with the observed library size), but without the
    1e-8 that scVI adds inside its logarithms: log m comes from the log-softmax.
    """
    if batch.counts is None:
        raise MatrixError(
            "the loss needs raw counts and the data hold none",
            seen="loss nb or zinb",
            remedy="set autoencoder.loss=squared_error, or choose the layer of the file that holds raw counts",
        )
    return chunked_loss(batch, layer, _compiled_chunk if compiled else _torch_chunk)


def _compiled_chunk(
    batch: SparseBatch,
    outputs: tuple[Float32[Tensor, "cell gene"], ...],
    log_theta: Float[Tensor, " gene"] | None,
    *,
    with_gradient: bool,
) -> tuple[Float64[Tensor, ""], Float32[Tensor, " gene"] | None]:
    """Run the fused sweep; the gradient comes with the loss at little cost, so it is not left out."""
    use_torch_threads()
    indptr, indices, _ = batch.numpy()
    limited = _limit(log_theta)
    thetas = torch.stack([limited, -limited]).exp().numpy()
    n_blocks = -(-batch.n_cells // counts_kernels.ROW_BLOCK)
    row_loss = np.empty(batch.n_cells)
    theta_partial = np.empty((n_blocks, batch.n_genes), np.float32)
    kernel = counts_kernels.negative_binomial if len(outputs) == 1 else counts_kernels.zero_inflated
    kernel(
        *(indptr, indices, batch.counts.numpy(), batch.library.numpy()),  # type: ignore[union-attr]
        *(thetas, counts_kernels.gamma_table(thetas[0])),
        *(output.numpy() for output in outputs),
        *(row_loss, theta_partial),
    )
    theta_gradient = torch.from_numpy(theta_partial).sum(dim=0)
    return torch.from_numpy(row_loss).sum(), _where_free(theta_gradient, log_theta)


def _torch_chunk(
    batch: SparseBatch,
    outputs: tuple[Float32[Tensor, "cell gene"], ...],
    log_theta: Float[Tensor, " gene"] | None,
    *,
    with_gradient: bool,
) -> tuple[Float64[Tensor, ""], Float32[Tensor, " gene"] | None]:
    """Write the likelihood in torch operations and let autograd differentiate it."""
    leaves = [
        tensor.detach().clone().requires_grad_(with_gradient) for tensor in (*outputs, _limit(log_theta))
    ]
    with torch.set_grad_enabled(with_gradient):
        loss = count_likelihood(batch.dense(counts=True), batch.library, *leaves[:-1], log_theta=leaves[-1])
    if not with_gradient:
        return loss, None
    *gradients, theta_gradient = torch.autograd.grad(loss, leaves)
    for output, gradient in zip(outputs, gradients, strict=True):
        output.copy_(gradient)
    return loss.detach(), _where_free(theta_gradient, log_theta)


def count_likelihood(
    counts: Float[Tensor, "cell gene"],
    library: Float[Tensor, " cell"],
    logits: Float[Tensor, "cell gene"],
    dropout: Float[Tensor, "cell gene"] | None = None,
    *,
    log_theta: Float[Tensor, " gene"],
) -> Float64[Tensor, ""]:
    """Return the summed negative log-likelihood of dense counts in plain torch: the reference of the fused loops.

    See `count_loss` for the formula; `dropout` are the zero-inflation logits.
    """
    theta = log_theta.exp()
    tiny = torch.finfo(logits.dtype).tiny
    log_mean = logits.log_softmax(dim=1) + library.clamp_min(tiny).log()[:, None]
    log_ratio = torch.log1p(log_mean.exp() / theta)
    zero = theta * log_ratio
    rising = torch.lgamma(counts + theta) - torch.lgamma(theta) - torch.lgamma(counts + 1)
    nb = zero + counts * (log_theta + log_ratio - log_mean) - rising
    if dropout is None:
        return nb.sum(dim=1).double().sum()
    at_zero = softplus(-dropout) - softplus(-dropout - zero)
    return torch.where(counts > 0, nb + softplus(dropout), at_zero).sum(dim=1).double().sum()


def _limit(log_theta: Float[Tensor, " gene"] | None) -> Float32[Tensor, " gene"]:
    if log_theta is None:
        raise TypeError("a count likelihood needs log_theta")
    return log_theta.detach().float().clamp(-LOG_THETA_LIMIT, LOG_THETA_LIMIT)


def _where_free(
    gradient: Float32[Tensor, " gene"], log_theta: Float[Tensor, " gene"] | None
) -> Float32[Tensor, " gene"]:
    """Set the gradient of a dispersion at its limit to 0."""
    assert log_theta is not None
    return torch.where(log_theta.abs() > LOG_THETA_LIMIT, 0.0, gradient)
