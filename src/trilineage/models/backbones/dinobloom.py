"""DinoBloom (Koch et al., MICCAI 2024, arXiv 2404.05022): DINOv2 trained on blood cells, four sizes."""

import re
from collections.abc import Mapping

from torch import Tensor

ARCHITECTURES = {
    "dinobloom-s": "vit_small_patch14_dinov2",
    "dinobloom-b": "vit_base_patch14_dinov2",
    "dinobloom-l": "vit_large_patch14_dinov2",
    "dinobloom-g": "vit_giant_patch14_dinov2",
}
"""timm's name of the network under each: pixels normalised as in ImageNet, patches of 14, LayerNorm eps 1e-6."""

HUB = {
    "dinobloom-s": "hf-hub:1aurent/vit_small_patch14_224.dinobloom",
    "dinobloom-b": "hf-hub:1aurent/vit_base_patch14_224.dinobloom",
    "dinobloom-l": "hf-hub:1aurent/vit_large_patch14_224.dinobloom",
    "dinobloom-g": "hf-hub:1aurent/vit_giant_patch14_224.dinobloom",
}
"""Ports of the weights on the hub, as safetensors."""

PUBLISHED_SHA256 = {"dinobloom-s": "c2f7990b003e89bcece80e379fb8fe0ba2ec392ce19b286e8a294abd99568e44"}
"""Digests of the published files, where we know them."""

NATIVE_SIZE = 224
"""Pixels: 16 x 16 patches of 14."""

_TRAINING_ONLY = re.compile(r"^(dino_head|ibot_head)\.|(^|\.)mask_token$")
_CHUNKED_BLOCK = re.compile(r"^blocks\.\d+\.(\d+)\.")
_GATED = {".mlp.w12.": ".mlp.fc1.", ".mlp.w3.": ".mlp.fc2."}


def to_timm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a DINOv2 checkpoint under timm's names.

    The student's prefix `backbone.` goes, the heads and the mask token of the training go, blocks that were saved in
    chunks are numbered through, and the gated feed-forward part of the giant (`w12`, `w3`) becomes `fc1`, `fc2`. Where
    there are registers, the position of the class token is added to it and the positions become those of the patches.
    """
    named = {}
    for key, tensor in tensors.items():
        if _TRAINING_ONLY.search(key):
            continue
        name = _CHUNKED_BLOCK.sub(r"blocks.\1.", key.removeprefix("backbone."))
        for theirs, timms in _GATED.items():
            name = name.replace(theirs, timms)
        named[name] = tensor
    return _without_register_positions(named)


def is_dinov2(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether names are those of DINOv2's own code."""
    marks = ("backbone.blocks.", "dino_head.", "register_tokens", "mask_token")
    return any(name.startswith(marks) or ".mlp.w12." in name for name in tensors)


def _without_register_positions(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if "register_tokens" not in tensors:
        return tensors
    changed = dict(tensors)
    changed["reg_token"] = changed.pop("register_tokens")
    changed["cls_token"] = changed["cls_token"] + changed["pos_embed"][:, :1]
    changed["pos_embed"] = changed["pos_embed"][:, 1:]
    return changed
