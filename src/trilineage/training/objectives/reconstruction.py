"""How well an autoencoder reconstructs a minibatch: the loss its settings name, by the fastest exact way."""

from typing import NamedTuple

from jaxtyping import Float64
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trilineage.core.errors import ConfigError
from trilineage.models.autoencoder import ExpressionAutoencoder
from trilineage.models.sparse import Backend, SparseBatch, choose_backend
from trilineage.training.objectives.chunked import OutputLayer
from trilineage.training.objectives.counts import count_loss
from trilineage.training.objectives.squared_error import squared_error


class ReconstructionLoss(NamedTuple):
    """A loss still to be divided: by cells, or by cells and genes for the mean per entry that `nn.MSELoss` gives."""

    loss_sum: Float64[Tensor, ""]
    """Sum over cells and genes."""
    n_cells: int
    """Cells in the sum."""


def reconstruction_loss(
    model: nn.Module, batch: SparseBatch, *, backend: Backend = "auto"
) -> ReconstructionLoss:
    """Encode and decode a minibatch and return the loss of the model's settings, summed over cells and genes.

    Parameters
    ----------
    model
        An `ExpressionAutoencoder`, or one wrapped for several processes.
    batch
        Cells; with raw counts if the loss is `nb` or `zinb`.
    backend
        Who computes the output layer and its loss; every backend gives the same numbers to 1e-5.
    """
    module = model.module if isinstance(model, DistributedDataParallel) else model
    if not isinstance(module, ExpressionAutoencoder):
        raise ConfigError("only an autoencoder reconstructs", seen=type(module).__name__)
    layer = OutputLayer(
        model(batch),
        module.output_weight,
        module.output_bias,
        module.log_theta,
        module.dropout_weight,
        module.dropout_bias,
    )
    compiled = choose_backend(backend, layer.weight.device) == "numba"
    if module.settings.loss == "squared_error":
        loss = squared_error(batch, layer, compiled=compiled, form=module.settings.decoder)
    else:
        loss = count_loss(batch, layer, compiled=compiled)
    return ReconstructionLoss(loss, batch.n_cells)
