"""An exponential moving average of the weights, which validates and predicts better than the last ones."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of a model's weights over the updates (Polyak and Juditsky 1992; exponential, as is usual now).

    After update t (from 1) the average moves by 1 - d towards the weights, d = min(decay, (1 + t) / (10 + t)), so that
    the random weights of the beginning are soon forgotten. Running statistics of norms are averaged as well; counters
    are copied.

    Parameters
    ----------
    model
        Its weights are where the average begins.
    decay
        Limit of d, in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model, self.decay = model, decay
        self.tensors = {name: value.detach().clone() for name, value in model.state_dict().items()}
        """The average, under the names of the model's weights."""

    @torch.no_grad()
    def update(self, n_updates: int) -> None:
        """Move towards the weights after an update, of which there have been `n_updates`."""
        pace = 1.0 - min(self.decay, (1.0 + n_updates) / (10.0 + n_updates))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.tensors[name].lerp_(value, pace)
            else:
                self.tensors[name].copy_(value)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` was; the next update gives the same to the last bit."""
        for name, value in tensors.items():
            self.tensors[name].copy_(value)

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Let the model have the average while the block runs, and its own weights again after it."""
        own = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.tensors)
        try:
            yield
        finally:
            self.model.load_state_dict(own)
