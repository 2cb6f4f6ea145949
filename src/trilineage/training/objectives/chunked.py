"""A linear output layer and its loss, a few cells at a time: the (cell, gene) reconstruction is never held whole."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from trilineage.models.sparse import SparseBatch, empty

_CHUNK = 2**24
"""Elements of the reconstruction held at a time (64 MB): products at full speed, little memory."""


class OutputLayer(NamedTuple):
    """Inputs and parameters of the output layer of a decoder."""

    hidden: Float[Tensor, "cell hidden"]
    """Last hidden layer."""
    weight: Float[Tensor, "gene hidden"]
    """Output weight."""
    bias: Float[Tensor, " gene"]
    """Output bias."""
    log_theta: Float[Tensor, " gene"] | None = None
    """Log of the negative-binomial dispersion (counts only)."""
    dropout_weight: Float[Tensor, "gene hidden"] | None = None
    """Weight of the zero-inflation logits (ZINB only)."""
    dropout_bias: Float[Tensor, " gene"] | None = None
    """Bias of the zero-inflation logits (ZINB only)."""


@runtime_checkable
class ChunkLoss(Protocol):
    """A loss of the outputs of a few cells."""

    def __call__(
        self,
        batch: SparseBatch,
        outputs: tuple[Float32[Tensor, "cell gene"], ...],
        log_theta: Float[Tensor, " gene"] | None,
        *,
        with_gradient: bool,
    ) -> tuple[Float64[Tensor, ""], Float32[Tensor, " gene"] | None]:
        """Return the loss sum and the gradient of log_theta; overwrite the outputs with their gradient if asked."""
        ...


def chunked_loss(batch: SparseBatch, layer: OutputLayer, loss: ChunkLoss) -> Float64[Tensor, ""]:
    """Return the summed loss of a batch, differentiable once with respect to everything in `layer`."""
    result: Tensor = _ChunkedLoss.apply(batch, loss, torch.is_grad_enabled(), *layer)
    return result


class _ChunkedLoss(torch.autograd.Function):
    """The gradient is computed beside the loss, while a chunk is in cache; backward only scales it."""

    @staticmethod
    def forward(
        ctx: Any, batch: SparseBatch, loss: ChunkLoss, with_gradient: bool, *tensors: Tensor | None
    ) -> Tensor:
        layer = OutputLayer(*(None if tensor is None else tensor.detach().float() for tensor in tensors))
        with torch.autocast(layer.hidden.device.type, enabled=False):
            total, ctx.gradients = _walk(batch, loss, layer, with_gradient=with_gradient)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        factor = scale.to(torch.float32)
        return None, None, None, *(None if one is None else one.mul_(factor) for one in gradients)


def _walk(
    batch: SparseBatch, loss: ChunkLoss, layer: OutputLayer, *, with_gradient: bool
) -> tuple[Float64[Tensor, ""], OutputLayer | None]:
    """Add up the loss, and its gradients in the shape of the layer, over chunks of cells in a fixed order."""
    total = torch.zeros((), dtype=torch.float64, device=layer.hidden.device)
    gradients = (
        OutputLayer(*(None if t is None else torch.zeros_like(t) for t in layer)) if with_gradient else None
    )
    step = max(1, _CHUNK // layer.weight.shape[0])
    heads = [(layer.weight, layer.bias)]
    if layer.dropout_weight is not None and layer.dropout_bias is not None:
        heads.append((layer.dropout_weight, layer.dropout_bias))
    buffers = [_buffer(min(step, batch.n_cells), weight) for weight, _ in heads]
    for start in range(0, batch.n_cells, step):
        stop = min(start + step, batch.n_cells)
        hidden = layer.hidden[start:stop]
        outputs = tuple(buffer[: stop - start] for buffer in buffers)
        for output, (weight, bias) in zip(outputs, heads, strict=True):
            torch.addmm(bias, hidden, weight.T, out=output)
        part, theta_part = loss(
            batch.cells(start, stop), outputs, layer.log_theta, with_gradient=with_gradient
        )
        total += part
        if gradients is not None:
            _add_gradients(gradients, layer, outputs, theta_part, slice(start, stop))
    return total, gradients


def _add_gradients(
    gradients: OutputLayer,
    layer: OutputLayer,
    outputs: tuple[Float32[Tensor, "cell gene"], ...],
    theta_part: Float32[Tensor, " gene"] | None,
    cells: slice,
) -> None:
    """Add what a chunk contributes; its outputs have been overwritten by their gradient."""
    hidden = layer.hidden[cells]
    gradients.hidden[cells].addmm_(outputs[0], layer.weight)
    gradients.weight.addmm_(outputs[0].T, hidden)
    gradients.bias.add_(outputs[0].sum(dim=0))
    if theta_part is not None and gradients.log_theta is not None:
        gradients.log_theta.add_(theta_part)
    if len(outputs) == 2 and layer.dropout_weight is not None:
        gradients.hidden[cells].addmm_(outputs[1], layer.dropout_weight)
        gradients.dropout_weight.addmm_(outputs[1].T, hidden)  # type: ignore[union-attr]
        gradients.dropout_bias.add_(outputs[1].sum(dim=0))  # type: ignore[union-attr]


def _buffer(n_rows: int, weight: Float[Tensor, "gene hidden"]) -> Float32[Tensor, "row gene"]:
    if weight.device.type == "cpu":
        return empty(n_rows, weight.shape[0])
    return torch.empty(n_rows, weight.shape[0], device=weight.device)
