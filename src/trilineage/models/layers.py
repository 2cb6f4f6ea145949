"""Batch norm and dropout whose result does not depend on how many processes share a batch."""

import contextlib
import math
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Share(NamedTuple):
    """The rows of a global batch that this process has: `rank`, `rank + world`, ..., as a training loop deals them."""

    n_rows: int
    """Rows of the global batch."""
    rank: int
    """Number of this process."""
    world: int
    """Number of processes."""

    @property
    def n_own(self) -> int:
        """Rows of this process."""
        return len(range(self.rank, self.n_rows, self.world))


_share: ContextVar[Share | None] = ContextVar("share", default=None)


@contextlib.contextmanager
def global_rows(n_rows: int, rank: int, world: int) -> Iterator[None]:
    """Tell the layers of this module that they see rows `rank::world` of a batch of `n_rows`.

    Without it, or with one process, they are the layers of torch. All processes must be inside it together: batch
    norm communicates.
    """
    token = _share.set(Share(n_rows, rank, world) if world > 1 else None)
    try:
        yield
    finally:
        _share.reset(token)


@torch.no_grad()
def sum_over_shares(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return a tensor summed over the processes that share the global batch; on one process, or outside, as it is.

    All processes must come here together; no gradient passes.
    """
    if _share.get() is None:
        return values.detach()
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def uniform_rows(n_own: int, n_columns: int) -> Float[Tensor, "row column"]:
    """Draw uniform numbers in [0, 1) on the CPU, one row for each sample of this process.

    As `RowDropout` does, those of the whole global batch are drawn, and the own rows taken: with the same state of
    torch's generator on every process, two processes get what one would.
    """
    share = _share.get()
    if share is None or n_own != share.n_own:
        return torch.rand(n_own, n_columns)
    return torch.rand(share.n_rows, n_columns)[share.rank :: share.world]


class RowDropout(nn.Module):
    """Dropout that draws the mask of the whole global batch on every process and uses its own rows of it.

    With the same state of torch's generator on every process, two processes drop what one would. On one process it is
    `nn.Dropout`. An input that is not this process's share of the rows (a whole graph) is dropped as on one process.

    Parameters
    ----------
    p
        Probability of an element to be zeroed, in [0, 1).
    """

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p

    def forward(self, x: Float[Tensor, "row ..."]) -> Float[Tensor, "row ..."]:
        """Return `x` with a share `p` of its elements 0 and the others divided by `1 - p`; in evaluation, `x`."""
        share = _share.get()
        if share is None or not self.training or self.p == 0 or len(x) != share.n_own:
            return F.dropout(x, self.p, self.training)
        mask = F.dropout(x.new_ones(share.n_rows, *x.shape[1:]), self.p)
        return x * mask[share.rank :: share.world]

    def extra_repr(self) -> str:
        """Return the probability, for printing."""
        return f"p={self.p}"


class BatchNorm1d(nn.BatchNorm1d):
    """Batch norm over the rows of all processes (Ioffe and Szegedy 2015), on CPUs as well as on GPUs.

    torch's `SyncBatchNorm` refuses CPU tensors; this one sums counts, sums and sums of squares in float64 with
    `torch.distributed` on any backend. On one process it is `nn.BatchNorm1d`, with the same weights, buffers and
    results, except that a batch of a single row, which has no variance, is normalised by the running statistics and
    leaves them as they are (torch raises).
    """

    def forward(self, x: Float[Tensor, "row feature ..."]) -> Float[Tensor, "row feature ..."]:
        """Return normalised rows; in training by the statistics of the global batch, which update the running ones."""
        self._check_input_dim(x)
        share = _share.get() if self.training else None
        n_values = (len(x) if share is None else share.n_rows) * math.prod(x.shape[2:])
        if self.training and n_values == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if share is None:
            return super().forward(x)
        y, mean, variance, count = _NormalizeTogether.apply(x, self.weight, self.bias, self.eps)
        self._follow(mean, variance * count / (count - 1))
        return y  # type: ignore[no-any-return]

    @torch.no_grad()
    def _follow(self, mean: Float[Tensor, " feature"], variance: Float[Tensor, " feature"]) -> None:
        """Move the running statistics towards those of a batch, as torch does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        pace = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), pace)
        self.running_var.lerp_(variance.to(self.running_var.dtype), pace)


class _NormalizeTogether(torch.autograd.Function):
    """Normalise by statistics summed over the processes; its gradient is that of the sum of their losses."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        exact = x.double()
        n_own = exact.new_full((1,), x.numel() // x.shape[1])
        sums = torch.cat([exact.sum(axes), exact.square().sum(axes), n_own])
        dist.all_reduce(sums)
        n_features = x.shape[1]
        count = sums[-1]
        mean = sums[:n_features] / count
        variance = (sums[n_features:-1] / count - mean.square()).clamp_min(0.0)
        scale = (variance + eps).rsqrt()
        standard = ((exact - _column(mean, x)) * _column(scale, x)).float()
        ctx.save_for_backward(standard, weight, scale.float(), count)
        ctx.axes = axes
        y = standard if weight is None else standard * _column(weight, x)
        y = y if bias is None else y + _column(bias, x)
        ctx.mark_non_differentiable(mean, variance, count)
        return y.to(x.dtype), mean, variance, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, gradient: Tensor, *unused: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        standard, weight, scale, count = ctx.saved_tensors
        slope = gradient.float()
        of_bias = slope.double().sum(ctx.axes)
        of_weight = (slope.double() * standard).sum(ctx.axes)
        sums = torch.cat([of_bias, of_weight])
        dist.all_reduce(sums)
        of_bias_mean, of_weight_mean = (sums / count).float().chunk(2)
        inner = slope - _column(of_bias_mean, slope) - standard * _column(of_weight_mean, slope)
        factor = scale if weight is None else scale * weight
        of_x = (inner * _column(factor, slope)).to(gradient.dtype)
        if weight is None:
            return of_x, None, None, None
        return of_x, of_weight.to(weight.dtype), of_bias.to(weight.dtype), None


def _column(values: Float[Tensor, " feature"], like: Float[Tensor, "row feature ..."]) -> Tensor:
    """Give a value per feature the shape that multiplies a batch."""
    return values.reshape(1, -1, *[1] * (like.ndim - 2))
