"""From a name and a size to a backbone with its weights."""

import difflib
import re
from typing import Any

from torch import nn

from trilineage.core.errors import ArtifactError, ConfigError, UnknownOptionError
from trilineage.core.registry import nearest_remedy
from trilineage.models.backbones import dinobloom
from trilineage.models.backbones.anatomy import Anatomy, anatomy, measured_shape
from trilineage.models.backbones.backbone import Backbone
from trilineage.models.backbones.bundled import chosen_backbone
from trilineage.models.backbones.cells import CELL_PATCH, cell_vit
from trilineage.models.backbones.freezing import freeze
from trilineage.models.backbones.library import timm
from trilineage.models.backbones.small import STEM_STRIDE, SmallCnn, small_vit
from trilineage.models.backbones.spec import BackboneSettings, BackboneSpec
from trilineage.models.backbones.weights import load_weights, read_weights

UNPUBLISHED = ("cell_vit", "small_vit", "small_cnn")
"""Our own networks, whose weights no hub has."""
OWN_NAMES = (*UNPUBLISHED, *dinobloom.ARCHITECTURES)
"""Names beside those of timm."""

_HALF = (0.5, 0.5, 0.5)
_N_NEAREST = 5


def build_backbone(settings: BackboneSettings, image_size: int | tuple[int, int]) -> Backbone:
    """Build a backbone for images of one size and load its weights.

    Random weights are drawn from torch's global generator: seed it first (`core.seeding.seed_everything`).

    Parameters
    ----------
    settings
        Which network, which weights, what is trained.
    image_size
        Height and width of the images in pixels, or one number for both.

    Raises
    ------
    UnknownOptionError
        If there is no network of this name; the nearest are named.
    ConfigError
        If the network cannot take images of this size, or the options do not fit it.
    ArtifactError
        If the weights cannot be had or belong to another architecture.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    settings = chosen_backbone(settings, is_frozen=settings.trained_blocks == 0)
    net, mean, std = _network(settings, size)
    if settings.weights not in ("none", "hub"):
        load_weights(net, read_weights(settings), name=settings.name)
    parts = anatomy(net)
    backbone = Backbone(net, _spec(settings.name, net, parts, size, (mean, std)), parts)
    freeze(backbone, settings.trained_blocks)
    return backbone


def _network(settings: BackboneSettings, size: tuple[int, int]) -> tuple[nn.Module, Any, Any]:
    """Return a network without a classifier, and the mean and deviation its pixels are normalised by."""
    if settings.name == "cell_vit":
        _require_patches(settings.name, size, (CELL_PATCH, CELL_PATCH))
        _refuse_hub(settings)
        return cell_vit(size, pool=settings.pool, drop_path=settings.drop_path), _HALF, _HALF
    if settings.name == "small_vit":
        _require_patches(settings.name, size, (STEM_STRIDE, STEM_STRIDE))
        _refuse_hub(settings)
        return small_vit(size, pool=settings.pool, drop_path=settings.drop_path), _HALF, _HALF
    if settings.name == "small_cnn":
        _refuse_hub(settings)
        return SmallCnn(), _HALF, _HALF
    net = _timm_network(settings, size)
    config = net.pretrained_cfg
    return net, tuple(config["mean"]), tuple(config["std"])


def _timm_network(settings: BackboneSettings, size: tuple[int, int]) -> Any:
    """Return a network of timm, with the published weights if they are asked for."""
    is_hub = settings.weights == "hub"
    name = (dinobloom.HUB if is_hub else dinobloom.ARCHITECTURES).get(settings.name, settings.name)
    options: dict[str, Any] = {"pretrained": is_hub, "num_classes": 0}
    if settings.drop_path:
        options["drop_path_rate"] = settings.drop_path
    if settings.pool != "auto":
        options["global_pool"] = {"cls": "token", "mean": "avg"}[settings.pool]
    try:
        architecture, config = _configuration(name)
        if config.get("fixed_input_size"):
            patch = config.get("patch_size") or _patch_in(architecture)
            if patch:
                _require_patches(name, size, (patch, patch))
            options["img_size"] = size
            if settings.pool == "mean" and architecture.startswith("vit_"):
                options["fc_norm"] = False  # the final norm stays before the mean, where its weights belong
        return timm.create_model(name, **options)
    except (TypeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"{name} cannot be built with these options",
            seen=f"image size {size}, pool {settings.pool}, drop_path {settings.drop_path} ({error})",
            allowed="what this network takes in timm",
            remedy="change the image size, or leave pool and drop_path as they are",
        ) from None
    except (OSError, RuntimeError) as error:
        raise ArtifactError(
            f"cannot get {name} from the hub",
            seen=str(error).splitlines()[0],
            allowed="a connection to the hub, or a copy in its cache",
            remedy="fetch the weights elsewhere and give their file in `weights`",
        ) from None


def _configuration(name: str) -> tuple[str, dict[str, Any]]:
    """Return the architecture of a timm name and its configuration.

    Raises
    ------
    UnknownOptionError
        If timm has no such network.
    """
    if name.startswith("hf-hub:"):
        config, architecture, _ = timm.models.load_model_config_from_hf(name.removeprefix("hf-hub:"))
        return architecture, {**timm.get_pretrained_cfg(architecture).to_dict(), **config}
    if not timm.is_model(name):
        known = (*OWN_NAMES, *timm.list_models())
        nearest = difflib.get_close_matches(name.lower(), known, n=_N_NEAREST, cutoff=0.5)
        raise UnknownOptionError(
            f"there is no backbone called {name!r}",
            allowed=", ".join(OWN_NAMES)
            + ", any name of timm (nearest: "
            + (", ".join(nearest) or "none")
            + ")",
            remedy=nearest_remedy(name, known),
        )
    config = timm.get_pretrained_cfg(name)
    return timm.models.split_model_name_tag(name)[0], config.to_dict() if config else {}


def _patch_in(architecture: str) -> int:
    """Return the size of a patch that the name of an architecture states, or 0."""
    found = re.search(r"_patch(\d+)", architecture)
    return int(found[1]) if found else 0


def _require_patches(name: str, size: tuple[int, int], patch: tuple[int, int]) -> None:
    """Refuse images that cannot be cut into whole patches."""
    if any(side < part or side % part for side, part in zip(size, patch, strict=True)):
        raise ConfigError(
            f"images of this size cannot be cut into the patches of {name}",
            seen=f"{size[0]} x {size[1]} pixels",
            allowed=f"multiples of {patch[0]} x {patch[1]} pixels, at least one patch",
            remedy="choose another image size or backbone",
        )


def _refuse_hub(settings: BackboneSettings) -> None:
    if settings.weights == "hub":
        raise ConfigError(
            f"nobody publishes weights of {settings.name}",
            seen="weights hub",
            allowed="`none`, a file, or the folder of a Run",
            remedy="train it, or choose a network of timm",
        )


def _grid(name: str, net: Any, parts: Anatomy, size: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of patches, or of the last feature map."""
    if parts.family == "vit":
        rows, columns = net.patch_embed.grid_size
        return rows, columns
    try:
        shape = measured_shape(net, parts.saliency_layer, size)
    except RuntimeError as error:
        raise ConfigError(
            f"{name} cannot take images of this size",
            seen=f"{size[0]} x {size[1]} pixels ({str(error).splitlines()[0]})",
            allowed="images of which at least one pixel is left in the last feature map",
            remedy="choose another image size or backbone",
        ) from None
    return (shape[1], shape[2]) if parts.has_channels_last else (shape[2], shape[3])


def _spec(name: str, net: Any, parts: Anatomy, size: tuple[int, int], norm: tuple[Any, Any]) -> BackboneSpec:
    """Collect what a network says of itself."""
    grid = _grid(name, net, parts, size)
    return BackboneSpec(
        name=name,
        width=net.num_features,
        image_size=size,
        grid=grid,
        n_prefix_tokens=parts.n_prefix_tokens,
        patch=(size[0] // grid[0], size[1] // grid[1]),
        mean=norm[0],
        std=norm[1],
        family=parts.family,
        pools=parts.pools,
        n_blocks=len(parts.blocks),
        has_class_token=parts.has_class_token,
    )
