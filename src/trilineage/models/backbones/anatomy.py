"""Where the parts of a network are: its blocks, the layer for saliency maps, its prefix tokens, its grid."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trilineage.models.backbones.library import timm
from trilineage.models.backbones.small import SmallCnn

_TRANSFORMERS = (timm.models.vision_transformer.VisionTransformer, timm.models.eva.Eva)


@dataclass(frozen=True)
class Anatomy:
    """The parts of one network."""

    family: Literal["vit", "convnext", "other"]
    """Kind of network."""
    blocks: tuple[nn.Module, ...]
    """Residual blocks in the order of computation, or stages where a network is not made of blocks."""
    saliency_layer: nn.Module
    """Layer whose output carries the evidence to the classifier.

    A vision transformer that is read from its class token ignores the patches of its last block's output, where their
    gradient is exactly 0; the norm before the last attention is the last place where patches still matter.
    """
    n_prefix_tokens: int
    """Tokens before the patches."""
    pools: Literal["cls", "mean", "other"]
    """How the feature of an image is made."""
    has_channels_last: bool = False
    """Whether its maps are (image height width channel)."""
    has_class_token: bool = False
    """Whether the first prefix token is a class token (the others are registers)."""


def anatomy(net: nn.Module) -> Anatomy:
    """Find the parts of a network by what it is."""
    if isinstance(net, _TRANSFORMERS):
        parts: Any = net
        pools = {"token": "cls", "avg": "mean"}.get(parts.global_pool, "other")
        blocks = tuple(parts.blocks)
        return Anatomy(
            "vit",
            blocks,
            blocks[-1].norm1,
            parts.num_prefix_tokens,
            pools,  # type: ignore[arg-type]
            has_class_token=parts.cls_token is not None,
        )
    blocks = _blocks_of_a_pyramid(net)
    family = "convnext" if isinstance(net, timm.models.convnext.ConvNeXt) else "other"
    has_channels_last = (
        getattr(net, "output_fmt", "NCHW") == "NHWC"
    )  # timm's own word, absent where it is NCHW
    return Anatomy(family, blocks, blocks[-1], 0, "mean", has_channels_last)  # type: ignore[arg-type]


def _blocks_of_a_pyramid(net: Any) -> tuple[nn.Module, ...]:
    """Return the blocks of a network whose grid shrinks on the way."""
    if isinstance(net, timm.models.convnext.ConvNeXt):
        return tuple(block for stage in net.stages for block in stage.blocks)
    if isinstance(net, timm.models.resnet.ResNet):
        return tuple(block for layer in (net.layer1, net.layer2, net.layer3, net.layer4) for block in layer)
    if isinstance(net, SmallCnn):
        return tuple(net.blocks)
    return tuple(net.get_submodule(info["module"]) for info in net.feature_info)


def measured_shape(net: nn.Module, layer: nn.Module, image_size: tuple[int, int]) -> torch.Size:
    """Return the shape of a layer's output for one image, without computing anything (on torch's meta device)."""
    seen: list[torch.Size] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    try:
        state = {name: torch.empty_like(value, device="meta") for name, value in _tensors(net)}
        was_training = net.training
        with torch.no_grad():
            blank = torch.empty(1, 3, *image_size, device="meta")
            torch.func.functional_call(net.eval(), state, (blank,))
        net.train(was_training)
    finally:
        handle.remove()
    return seen[-1]


def _tensors(net: nn.Module) -> list[tuple[str, Tensor]]:
    return [*net.named_parameters(), *net.named_buffers()]
