"""What a backbone is asked to be, and what it says of itself."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from trilineage.core.config import Settings

Pool = Literal["auto", "cls", "mean"]


class BackboneSettings(Settings):
    """Which network looks at the images, where its weights come from and what of it is trained."""

    name: str = "small_vit"
    """A timm name (`vit_small_patch16_384`, `convnext_tiny.in12k_ft_in1k_384`, `vit_small_patch14_reg4_dinov2`,
    `hf-hub:OWNER/MODEL`), `dinobloom-s`, `-b`, `-l` or `-g`, or one of ours: `cell_vit`, `small_vit`, `small_cnn`.
    `auto`: that of the encoder in `weights`; without weights the bundled encoder where the backbone stays as it is, and
    `small_vit` where it is trained."""
    weights: str = "none"
    """`none`: drawn at random; `hub`: the published ones; `bundled`: those that ship with the package; a file
    (safetensors, or a `.pth` of plain tensors); or the folder of another Run."""
    weights_name: str = "model"
    """Which weights of that Run, as in `weights/NAME.safetensors`."""
    sha256: str = ""
    """Digest that the file of weights must have; empty: any."""
    pool: Pool = "auto"
    """Feature of an image: `cls` token, `mean` over the patch tokens, or (`auto`) what the network was made with."""
    trained_blocks: int | None = Field(default=None, ge=0)
    """Last blocks that are trained, with what comes after them; 0 freezes the backbone; None trains all of it."""
    drop_path: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Largest share of images for which a block is skipped in training (stochastic depth, Huang et al. 2016)."""


@dataclass(frozen=True)
class BackboneSpec:
    """What others need to know of a backbone; none of it is ever written as a number elsewhere."""

    name: str
    """Name it was built by."""
    width: int
    """Length of the feature of an image."""
    image_size: tuple[int, int]
    """Height and width of the images it takes."""
    grid: tuple[int, int]
    """Rows and columns of patches (of pixels of the last feature map)."""
    n_prefix_tokens: int
    """Tokens before the patches: class token and registers."""
    patch: tuple[int, int]
    """Height and width of a patch in pixels (image size over grid where there are no patches)."""
    mean: tuple[float, float, float]
    """Subtracted from the pixels, which are in [0, 1]."""
    std: tuple[float, float, float]
    """What pixels are divided by after that."""
    family: Literal["vit", "convnext", "other"]
    """Kind of network."""
    pools: Literal["cls", "mean", "other"]
    """How the feature of an image comes from its tokens or from the last feature map."""
    n_blocks: int
    """Blocks from pixels to features."""
    has_class_token: bool = False
    """Whether the first prefix token is a class token; the others are registers."""
