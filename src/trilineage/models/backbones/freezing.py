"""Which layer a weight belongs to, which layers are trained, and how fast each learns."""

from torch import nn

from trilineage.core.errors import ConfigError
from trilineage.models.backbones.backbone import Backbone

_UNDECAYED = frozenset({"cls_token", "reg_token", "pos_embed"})


def layer_numbers(backbone: Backbone) -> dict[str, int]:
    """Return the layer of every parameter: 0 before the first block, then 1 per block, then one after the last.

    What stands between two blocks (a downsampling) belongs to the layer before it.
    """
    block_of = {
        id(parameter): number
        for number, block in enumerate(backbone.blocks, start=1)
        for parameter in block.parameters()
    }
    last = len(backbone.blocks)
    layers, current = {}, 0
    for name, parameter in backbone.named_parameters():
        number = block_of.get(id(parameter))
        if number is None and current == last:
            current = last + 1
        elif number is not None:
            current = number
        layers[name] = current
    return layers


def freeze(backbone: Backbone, trained_blocks: int | None) -> None:
    """Leave only the last blocks, and what comes after them, to be trained; 0 freezes everything, None nothing.

    Raises
    ------
    ConfigError
        If there are not so many blocks.
    """
    if trained_blocks is None:
        return
    n_blocks = len(backbone.blocks)
    if trained_blocks > n_blocks:
        raise ConfigError(
            f"{backbone.spec.name} has not so many blocks",
            seen=f"trained_blocks {trained_blocks}",
            allowed=f"at most {n_blocks}",
            remedy="lower it, or set it to none to train the whole network",
        )
    first = n_blocks - trained_blocks + 1 if trained_blocks else n_blocks + 2
    layers = layer_numbers(backbone)
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(layers[name] >= first)


def rate_groups(
    backbone: Backbone, *, scale: float, layer_decay: float
) -> list[tuple[float, bool, list[nn.Parameter]]]:
    """Return the trained parameters by layer, the first layer first: rate scale, whether decayed, parameters.

    Biases and norms are not decayed, nor are tokens and positions.

    Parameters
    ----------
    scale
        Rate of the last layer relative to that of the heads.
    layer_decay
        Rate of a layer relative to that of the next (Bao et al. 2022, arXiv 2106.08254, appendix); 1 gives all the
        same.
    """
    layers = layer_numbers(backbone)
    top = len(backbone.blocks) + 1
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in backbone.named_parameters():
        if parameter.requires_grad:
            layer = layers[name] if layer_decay < 1.0 else top
            is_decayed = parameter.ndim >= 2 and name.rpartition(".")[2] not in _UNDECAYED
            groups.setdefault((layer, is_decayed), []).append(parameter)
    return [
        (scale * layer_decay ** (top - layer), is_decayed, group)
        for (layer, is_decayed), group in sorted(groups.items(), key=lambda item: item[0])
    ]
