"""One forward that keeps the output of a layer and builds the graph from there on only."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from trilineage.core.errors import ConfigError


@runtime_checkable
class MappedBackbone(Protocol):
    """What a map needs to know of an image encoder."""

    @property
    def saliency_layer(self) -> nn.Module:
        """The layer whose output still differs from place to place and feeds the decision."""
        ...

    def activation_to_grid(self, activation: Tensor) -> Tensor:
        """Bring an output of the saliency layer to image channel row column, prefix tokens left out."""
        ...


@runtime_checkable
class ExplainedClassifier(Protocol):
    """A classifier from pixels to node log-probabilities whose maps can be made."""

    backbone: Any
    """A MappedBackbone."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the log-probability of every node, from pixels in [0, 1]."""
        ...


class Capture:
    """The output of a layer, once a forward has run."""

    def __init__(self) -> None:
        self.outputs: list[Tensor] = []

    @property
    def output(self) -> Tensor:
        """The output, a leaf of the graph.

        Raises
        ------
        ConfigError
            If the layer ran never or several times.
        """
        if len(self.outputs) != 1:
            raise ConfigError(
                "a map needs a layer that runs once in a forward",
                seen=f"it ran {len(self.outputs)} times",
                allowed="once",
                remedy="leave the layer to the backbone",
            )
        return self.outputs[0]


@contextlib.contextmanager
def graph_from(layer: nn.Module) -> Iterator[Capture]:
    """Switch gradients off until a layer has run and on after it; what it returned becomes a leaf.

    Everything before the layer costs an inference and no memory for activations, and a gradient with respect to the
    leaf runs through what follows it only. Stop-gradients that follow, which keep the levels of a hierarchical head
    apart in training, are passed through: the decision depends on what they let by.
    """
    capture = Capture()

    def begin_graph(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        leaf = output.clone().requires_grad_(True)  # a copy, in case the layer returns what it was given
        capture.outputs.append(leaf)
        return leaf.clone()  # what follows may work in place, which a leaf forbids

    handle = layer.register_forward_hook(begin_graph)
    try:
        with torch.inference_mode(False), torch.no_grad(), _NoStops():
            yield capture
    finally:
        handle.remove()


class _NoStops(TorchFunctionMode):
    """Makes `detach` do nothing."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function, unless it is a stop-gradient."""
        return args[0] if func is Tensor.detach else func(*args, **(kwargs or {}))


@contextlib.contextmanager
def evaluating(module: object) -> Iterator[None]:
    """Put a network into evaluation mode and give every part its own mode back."""
    parts = list(module.modules()) if isinstance(module, nn.Module) else []
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


def grid_of(backbone: MappedBackbone, activation: Tensor) -> Float[Tensor, "image channel row column"]:
    """Bring an activation to its grid in single precision.

    Raises
    ------
    ConfigError
        If the backbone cannot lay this activation out.
    """
    grid = backbone.activation_to_grid(activation)
    if grid.ndim != 4 or len(grid) != len(activation):
        raise ConfigError(
            "the output of the layer has no grid",
            seen=f"shape {tuple(grid.shape)}",
            allowed="image channel row column",
            remedy="leave the layer to the backbone",
        )
    return grid.float()
