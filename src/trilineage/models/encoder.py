"""The encoder: a frozen backbone read at one block, and everything that decides its tokens."""

import hashlib
import logging
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError
from trilineage.data.tokens.source import Keep, TokenSource, TokenType
from trilineage.models.backbones.anatomy import measured_shape
from trilineage.models.backbones.backbone import Backbone
from trilineage.models.backbones.build import UNPUBLISHED, build_backbone
from trilineage.models.backbones.bundled import BUNDLED, ENCODER_KIND, ENCODER_WEIGHTS, bundled_run
from trilineage.models.backbones.freezing import freeze
from trilineage.models.backbones.spec import BackboneSettings, BackboneSpec
from trilineage.models.classifier_file import load_image_classifier
from trilineage.models.encoder_file import read_encoder
from trilineage.models.features import memory_format

UNTRAINED_SEED = 0
"""Draws the weights of a network that was given none."""

logger = logging.getLogger(__name__)


class EncoderSettings(Settings):
    """Whose tokens are taken, where, and which of them."""

    backbone: BackboneSettings = BackboneSettings(name="auto", trained_blocks=0)
    """The network, if no Run is given; it is never trained. Unless one is named, it is the encoder that ships with the
    package. One that is named and has no weights (`none`) is drawn at random, but always the same: a control that has
    learned nothing."""
    run: str = ""
    """Folder of a Run of `images fit` or `images pretrain` whose network is taken with its name, pool, image size and
    weights; `bundled`: the encoder that ships with the package. Empty: `backbone`."""
    weights_name: str = ""
    """Which weights of that Run, as in `weights/NAME.safetensors`; empty: those that predict."""
    block: int = -2
    """Block whose output is taken (residual stream, before the final norm), from 0; negative: from the end."""
    keep: Keep = "both"
    """Tokens that are kept: the class token (`cls`), the `patches`, or `both`; registers never are. A network without a
    class token has patches only, whatever `both` says."""
    dtype: Literal["auto", "float16", "float32"] = "auto"
    """Type in which tokens are kept: `float16` (also `auto`) takes half the disk; what it cannot hold is refused."""


def encoder_options(name: str, weights: str = "") -> dict[str, str]:
    """Return the options, by dotted key, of an encoder as a command line names it.

    Parameters
    ----------
    name
        `bundled`, the folder of a Run, or the name of a backbone.
    weights
        Weights of a backbone: `none`, `hub`, a file or a Run. Left out: the published ones; for the networks that
        nobody publishes, random ones.

    Raises
    ------
    ConfigError
        For weights beside an encoder that has its own.
    """
    is_path = Path(name).is_dir() or ("/" in name and not name.startswith("hf-hub:"))
    is_run = name == BUNDLED or is_path
    if is_run and weights:
        raise ConfigError(
            "this encoder brings its own weights",
            seen=f"{name} with weights {weights}",
            allowed="weights beside the name of a backbone",
            remedy="leave the weights out, or name the backbone",
        )
    if is_run:
        return {"encoder.run": name}
    chosen = weights or ("none" if name in UNPUBLISHED else "hub")
    return {"encoder.run": "", "encoder.backbone.name": name, "encoder.backbone.weights": chosen}


class TokenEncoder:
    """A frozen backbone in evaluation mode, read at one block; made by `build_encoder`.

    Parameters
    ----------
    backbone
        The network; frozen here.
    block
        Position of a block; negative ones count from the end.
    keep
        Which tokens are kept.
    dtype
        Type in which tokens are kept on disk.

    Raises
    ------
    ConfigError
        If there is no such block, or no class token where only that is kept.
    """

    def __init__(
        self, backbone: Backbone, block: int = -2, *, keep: Keep = "both", dtype: TokenType = "float16"
    ):
        freeze(backbone, 0)
        self.backbone = backbone.eval()
        self.block = backbone.block_number(block)
        self.keep, self.dtype = keep, dtype
        self.spec: BackboneSpec = backbone.spec
        self.device = torch.device("cpu")
        if keep == "cls" and not self.spec.has_class_token:
            raise ConfigError(
                f"{self.spec.name} has no class token", seen="keep=cls", allowed="keep=patches, keep=both"
            )
        self.n_prefix = int(self.spec.has_class_token and keep != "patches")
        self.grid, self.width = _grid_and_width(backbone, self.block)
        self.to(self.device)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images it takes."""
        return self.spec.image_size

    @property
    def n_tokens(self) -> int:
        """Tokens of an image that are kept: class token, then patches row by row."""
        return self.n_prefix + (0 if self.keep == "cls" else self.grid[0] * self.grid[1])

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 of the names and bytes of the backbone's tensors."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.backbone.state_dict().items()):
            values = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
            digest.update(f"{len(name)}:{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
            digest.update(values.data)
        return digest.hexdigest()

    @property
    def encoder_key(self) -> str:
        """SHA-256 of backbone, weights, block, image size and kept tokens: cohorts with one can be compared."""
        return self.source("").encoder_key

    def source(self, images: str, *, reading: str = "") -> TokenSource:
        """Return what the tokens of some images are of.

        Parameters
        ----------
        images
            Fingerprint of the table of images.
        reading
            How they come to their size.
        """
        return TokenSource(
            backbone=self.spec.name,
            weights=self.weights_digest,
            block=self.block,
            image_size=self.image_size,
            grid=self.grid,
            n_prefix=self.n_prefix,
            keep=self.keep,
            width=self.width,
            dtype=self.dtype,
            images=images,
            reading=reading,
        )

    def to(self, device: torch.device | str) -> "TokenEncoder":
        """Move the backbone to a device, in the order of axes in which it is fast there; return the encoder."""
        self.device = torch.device(device)
        self.backbone.to(self.device, memory_format=memory_format(self.backbone))  # type: ignore[call-overload]
        return self

    def tokens(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b token width"]:
        """Return the kept tokens of images in single precision, on the device; several threads may call it at once.

        Raises
        ------
        ConfigError
            If the images have another size.
        """
        with torch.inference_mode():
            ready = pixels.to(self.device, memory_format=memory_format(self.backbone))
            return self.kept(self.backbone.tokens(ready, self.block)).float()

    def kept(self, tokens: Float[Tensor, "b all width"]) -> Float[Tensor, "b token width"]:
        """Return those of a block's tokens that are kept, in their order."""
        n_before = self.spec.n_prefix_tokens
        if self.keep == "cls":
            return tokens[:, :1]
        if self.n_prefix == n_before:
            return tokens
        patches = tokens[:, n_before:]
        return torch.cat([tokens[:, :1], patches], dim=1) if self.n_prefix else patches

    def among_all(
        self, tokens: Float[Tensor, "b all width"], kept: Float[Tensor, "b token width"]
    ) -> Float[Tensor, "b all width"]:
        """Put kept tokens back among all tokens of a block, for `Backbone.edited`; the inverse of `kept`."""
        n_before = self.spec.n_prefix_tokens
        if self.keep == "cls":
            return torch.cat([kept, tokens[:, 1:]], dim=1)
        if self.n_prefix == n_before:
            return kept
        first, registers = kept[:, : self.n_prefix], tokens[:, self.n_prefix : n_before]
        return torch.cat([first, registers, kept[:, self.n_prefix :]], dim=1)


def build_encoder(settings: EncoderSettings, image_size: int | tuple[int, int] | None = None) -> TokenEncoder:
    """Build the encoder that the settings name, on the CPU.

    Parameters
    ----------
    settings
        Which backbone, block and tokens.
    image_size
        Height and width of the images in pixels, or one number for both; None: that of the Run.

    Raises
    ------
    ConfigError
        If there is no such block, the size is not that of the Run, or is given nowhere.
    ArtifactError
        If the weights or the Run cannot be had, or there is no bundled encoder.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    is_unnamed = settings.backbone.name == "auto" and settings.backbone.weights == "none"
    whose = settings.run or (BUNDLED if is_unnamed else "")
    backbone = _backbone_of_run(settings, whose, size) if whose else _backbone_by_name(settings, size)
    dtype: TokenType = "float16" if settings.dtype == "auto" else settings.dtype
    return TokenEncoder(backbone, settings.block, keep=settings.keep, dtype=dtype)


def _backbone_by_name(settings: EncoderSettings, size: tuple[int, int] | None) -> Backbone:
    if size is None:
        raise ConfigError("the encoder needs the size of the images", remedy="set data.size")
    asked = settings.backbone.replace(trained_blocks=0)
    if asked.weights != "none":
        return build_backbone(asked, size)
    logger.warning("%s has no weights (backbone.weights=none): an untrained network is drawn", asked.name)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(UNTRAINED_SEED)  # the tokens of a Run must come again in every later command
        return build_backbone(asked, size)


def _backbone_of_run(settings: EncoderSettings, whose: str, size: tuple[int, int] | None) -> Backbone:
    """Return the encoder of a pretraining, or the (first) backbone of the classifier of an images Run."""
    if whose == BUNDLED:
        with bundled_run() as run:
            backbone = read_encoder(run, settings.weights_name or ENCODER_WEIGHTS)
    elif (run := Run.open(whose)).kind == ENCODER_KIND:
        backbone = read_encoder(run, settings.weights_name or ENCODER_WEIGHTS)
    else:
        backbone = load_image_classifier(whose, settings.weights_name or None)[0].backbone
    own = backbone.spec.image_size
    if size is not None and size != own:
        raise ConfigError(
            f"the encoder of {whose} takes images of another size",
            seen=f"{size[0]} x {size[1]} pixels",
            allowed=f"{own[0]} x {own[1]}",
            remedy=f"set data.size={own[0] if own[0] == own[1] else list(own)}",
        )
    return backbone


def _grid_and_width(backbone: Backbone, block: int) -> tuple[tuple[int, int], int]:
    """Return rows, columns and width of what leaves a block, without computing anything."""
    spec = backbone.spec
    shape: Any = measured_shape(backbone.net, backbone.blocks[block], spec.image_size)
    if len(shape) == 3:
        return spec.grid, int(shape[2])
    if backbone.has_channels_last:
        return (int(shape[1]), int(shape[2])), int(shape[3])
    return (int(shape[2]), int(shape[3])), int(shape[1])
