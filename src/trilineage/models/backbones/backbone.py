"""One interface to every network: features, tokens, attention, the saliency layer, and the grid they live on."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trilineage.core.errors import ConfigError
from trilineage.models.backbones.anatomy import Anatomy
from trilineage.models.backbones.spec import BackboneSpec


class Backbone(nn.Module):
    """A network from pixels to features, together with what it says of itself.

    Make one with `build_backbone`. Pixels are RGB in [0, 1]; they are normalised here and nowhere else.

    Parameters
    ----------
    net
        The network without a classifier.
    spec
        What it says of itself.
    parts
        Where its parts are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, spec: BackboneSpec, parts: Anatomy):
        super().__init__()
        self.net = net
        self.spec = spec
        self.blocks = list(parts.blocks)
        """Residual blocks in the order of computation (modules of `net`)."""
        self.has_channels_last = parts.has_channels_last
        """Whether maps are (image height width channel)."""
        self._saliency = (parts.saliency_layer,)  # in a tuple, as it is a module of `net` already
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    @property
    def saliency_layer(self) -> nn.Module:
        """Layer whose output and gradient make saliency maps; see `activation_to_grid`."""
        return self._saliency[0]

    @property
    def is_frozen(self) -> bool:
        """Whether nothing of it is trained."""
        return not any(parameter.requires_grad for parameter in self.parameters())

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Return one feature vector per image."""
        features: Tensor = self.net(self._normalized(pixels))
        return features

    def train(self, mode: bool = True) -> Self:
        """Choose training or evaluation; what is frozen stays in evaluation, so that its norms do not move either."""
        super().train(mode)
        if mode and self.is_frozen:
            self.net.eval()
        return self

    def tokens(self, pixels: Float[Tensor, "b 3 h w"], block: int = -2) -> Float[Tensor, "b token d"]:
        """Return what leaves a block: the residual stream of a transformer, prefix tokens first, or a map by pixel.

        Parameters
        ----------
        block
            Position in `blocks`; negative ones count from the end. Nothing after it is computed.
        """
        return self._as_tokens(self._catch(pixels, self.blocks[self.block_number(block)]))

    def edited(
        self,
        pixels: Float[Tensor, "b 3 h w"],
        block: int,
        edit: Callable[[Float[Tensor, "b token d"]], Float[Tensor, "b token d"]],
    ) -> Float[Tensor, "b feature"]:
        """Return the features that follow when the output of a block is changed: the rest of the network sees the edit.

        Gradients flow through the edit and the rest of the network.

        Parameters
        ----------
        block
            Position in `blocks`; negative ones count from the end.
        edit
            From tokens, as `tokens` gives them (prefix tokens first, or a map pixel by pixel), to as many.

        Raises
        ------
        ConfigError
            If there is no such block, or the edit changes the shape.
        """
        owner = threading.get_ident()

        def change(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
            if threading.get_ident() != owner:
                return None
            tokens = self._as_tokens(output)
            changed = edit(tokens)
            if changed.shape != tokens.shape:
                raise ConfigError(
                    "an edit gives as many tokens of the same width as it gets",
                    seen=tuple(changed.shape),
                    allowed=tuple(tokens.shape),
                )
            return self._as_output(changed.to(output.dtype), output)

        handle = self.blocks[self.block_number(block)].register_forward_hook(change)
        try:
            return self(pixels)  # type: ignore[no-any-return]
        finally:
            handle.remove()

    def attention(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b layer head token token"]:
        """Return what each token (row) attends to in every block; rows sum to 1, prefix tokens come first.

        Raises
        ------
        ConfigError
            If the network is no vision transformer.
        """
        if self.spec.family != "vit":
            raise ConfigError(
                "this backbone has no attention between tokens",
                seen=self.spec.name,
                allowed="a vision transformer",
                remedy="choose another backbone, or saliency from gradients",
            )
        attentions: list[Any] = [block.attn for block in self.blocks]
        caught: list[Tensor] = []
        with contextlib.ExitStack() as stack:
            for attention in attentions:
                stack.enter_context(_in_the_open(attention))
                stack.enter_context(_hooked(attention.attn_drop, caught))
            self(pixels)
        return torch.stack(caught, dim=1)

    def activation_to_grid(self, activation: Float[Tensor, "..."]) -> Float[Tensor, "b c gh gw"]:
        """Give an activation (or its gradient) of `saliency_layer` the shape of the grid, without prefix tokens.

        Raises
        ------
        ConfigError
            If it does not fit the grid.
        """
        grid, n_prefix = self.spec.grid, self.spec.n_prefix_tokens
        if activation.ndim == 3 and activation.shape[1] == n_prefix + grid[0] * grid[1]:
            patches = activation[:, n_prefix:]  # b patch c
            return patches.transpose(1, 2).unflatten(2, grid)
        if activation.ndim == 4:
            maps = activation.permute(0, 3, 1, 2) if self.has_channels_last else activation  # b c gh gw
            if tuple(maps.shape[2:]) == grid:
                return maps
        raise ConfigError(
            f"this activation is not on the grid of {self.spec.name}",
            seen=tuple(activation.shape),
            allowed=f"{n_prefix} prefix tokens and a grid of {grid[0]} x {grid[1]}",
            remedy="take the output of saliency_layer",
        )

    def _as_tokens(self, output: Tensor) -> Float[Tensor, "b token d"]:
        """Return the output of a block as a list of tokens."""
        if output.ndim == 3:
            return output
        return output.flatten(1, 2) if self.has_channels_last else output.flatten(2).transpose(1, 2)

    def _as_output(self, tokens: Float[Tensor, "b token d"], output: Tensor) -> Tensor:
        """Return tokens in the shape of the output of a block they came from."""
        if output.ndim == 3:
            return tokens
        if self.has_channels_last:
            return tokens.unflatten(1, output.shape[1:3])
        return tokens.transpose(1, 2).unflatten(2, output.shape[2:])

    def _normalized(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        size = tuple(pixels.shape[2:])
        if size != self.spec.image_size:
            raise ConfigError(
                f"{self.spec.name} was built for another image size",
                seen=size,
                allowed=self.spec.image_size,
                remedy="resize the images, or build the backbone for this size",
            )
        return (pixels - self.mean) / self.std

    def block_number(self, block: int) -> int:
        """Return the position of a block counted from 0; raises ConfigError where there is no such block."""
        n_blocks = len(self.blocks)
        if not -n_blocks <= block < n_blocks:
            raise ConfigError(
                f"{self.spec.name} has no such block", seen=block, allowed=f"{-n_blocks} to {n_blocks - 1}"
            )
        return block % n_blocks

    def _catch(self, pixels: Float[Tensor, "b 3 h w"], module: nn.Module) -> Tensor:
        """Return the output of a module and compute nothing after it; several threads may do so at once."""
        caught: list[Tensor] = []
        owner = threading.get_ident()

        def stop(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if threading.get_ident() == owner:  # the pass of another thread goes on to that thread's own hook
                caught.append(output)
                raise _Caught

        handle = module.register_forward_hook(stop)
        try:
            self.net(self._normalized(pixels))
        except _Caught:
            pass
        finally:
            handle.remove()
        return caught[0]


class _Caught(Exception):  # noqa: N818  (no failure: the way out of a network at the layer that was asked for)
    """Leave a forward pass early."""


@contextlib.contextmanager
def _hooked(module: nn.Module, outputs: list[Tensor]) -> Iterator[None]:
    """Append every output of a module to a list while the block runs."""
    handle = module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _in_the_open(attention: Any) -> Iterator[None]:
    """Let an attention layer compute its weights as a tensor, which the fused kernel never does."""
    was_fused = attention.fused_attn
    attention.fused_attn = False
    try:
        yield
    finally:
        attention.fused_attn = was_fused
