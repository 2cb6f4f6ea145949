"""One forward that keeps the output of a layer and builds the graph from there on only."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from trilineage.core.errors import ConfigError


@runtime_checkable
class MappedBackbone(Protocol):
    """What a map needs to know of an image encoder."""

    spec: Any
    """Family, pooling and number of prefix tokens (`models.backbones.spec.BackboneSpec`)."""
    blocks: Sequence[nn.Module]
    """Residual blocks in the order of computation."""

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
def graph_from(layer: nn.Module, *, n_read_tokens: int | None = None) -> Iterator[Capture]:
    """Switch gradients off until a layer has run and on after it; what it returned becomes a leaf.

    Everything before the layer costs an inference and no memory for activations, and a gradient with respect to the
    leaf runs through what follows it only. Stop-gradients that follow, which keep the levels of a hierarchical head
    apart in training, are passed through: the decision depends on what they let by.

    Parameters
    ----------
    layer
        Where the graph begins.
    n_read_tokens
        Number of tokens, counted from the first, that lead from the only attention after the layer to the decision;
        for the others nothing is computed after it. None: all.
    """
    capture = Capture()

    def begin_graph(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        leaf = output.clone().requires_grad_(True)  # a copy, in case the layer returns what it was given
        capture.outputs.append(leaf)
        return leaf.clone()  # what follows may work in place, which a leaf forbids

    handle = layer.register_forward_hook(begin_graph)
    try:
        with torch.inference_mode(False), torch.no_grad(), _Tail(capture, n_read_tokens):
            yield capture
    finally:
        handle.remove()


def read_tokens(backbone: MappedBackbone, layer: nn.Module | None) -> int | None:
    """Return how many tokens after the last attention are read, or None where that cannot be said.

    A transformer read from its class token reads none of its patches; other layers than the backbone's own may be
    followed by further attention.
    """
    spec = backbone.spec
    if layer is not None or spec.family != "vit" or spec.pools != "cls":
        return None
    is_in_last_block = any(part is backbone.saliency_layer for part in backbone.blocks[-1].modules())
    n_prefix: int = spec.n_prefix_tokens
    return n_prefix if is_in_last_block else None


class _Tail(TorchFunctionMode):
    """Makes `detach` do nothing and, after the layer, computes only the rows that are read.

    Of the rows of an attention (its queries) and of the linear maps after it, which take each token for itself, those
    that nobody reads are left at zero: the three maps of a path cost 1.05 forwards of a class-token ViT-S at 384 pixels
    instead of 1.41. An attention that does not go through torch's fused function is computed whole.
    """

    def __init__(self, capture: Capture, n_read_tokens: int | None):
        super().__init__()
        self.capture, self.n_read_tokens = capture, n_read_tokens
        self.has_mixed = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function on what matters."""
        options = kwargs or {}
        if func is Tensor.detach:
            return args[0]
        if self.n_read_tokens is None or not self.capture.outputs:
            return func(*args, **options)
        is_attention = func is F.scaled_dot_product_attention and len(args) == 3
        if is_attention and options.get("attn_mask") is None:
            self.has_mixed = True
            return self._first_rows(func, args, options)
        if self.has_mixed and func is F.linear and args[0].ndim == 3:
            return self._first_rows(func, args, options)
        return func(*args, **options)

    def _first_rows(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
        """Compute the rows that are read and fill up with zeros."""
        rows = func(args[0][..., : self.n_read_tokens, :], *args[1:], **kwargs)
        return F.pad(rows, (0, 0, 0, args[0].shape[-2] - rows.shape[-2]))


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
