"""The options of an image set: where it is, which columns, how images are decoded, sized, normalised and varied."""

from typing import Literal

from pydantic import Field, PositiveInt

from trilineage.core.config import Settings

LARGEST_PIXELS = 89_000_000
"""Beyond this Pillow itself takes an image for a decompression bomb."""

Fit = Literal["squash", "crop", "pad"]
Stain = Literal["none", "macenko", "reinhard"]


class ImageDataSettings(Settings):
    """What to read and how; every column left out is guessed from those there are, and the guess is reported."""

    path: str | None = None
    """Folder with one folder per class, folder with a metadata.csv, CSV manifest, MedMNIST .npz, or one image file."""
    format: str = "auto"
    """`folder`, `manifest`, `npz`, the name of a public data set (`trilineage data list`), or `auto`: what is there."""
    root: str | None = None
    """Folder that the paths of a manifest start from; left out: the folder of the manifest."""
    path_column: str | None = None
    """Column of a manifest with the image files."""
    label_column: str | None = None
    """Column with the diagnosis or cell type, at any level of the taxonomy; an empty cell is an unknown label."""
    patient_column: str | None = None
    """Column with the patient."""
    site_column: str | None = None
    """Column with the site, camera or study."""
    split_column: str | None = None
    """Column with an official split (train, valid, test; anything empty is unused)."""
    keep: tuple[str, ...] = ()
    """Rows to keep, as `column=value` or `column=value|other`; all conditions must hold."""
    classes: tuple[str, ...] = ()
    """Labels to keep; left out: all."""
    limit_per_class: int = Field(default=0, ge=0)
    """Most images of each label, chosen by their names as if by lot; 0 keeps all."""
    on_unreadable: Literal["skip", "refuse"] = "skip"
    """What an image that cannot be decoded does: it is left out and counted, or nothing is read at all."""
    verify: Literal["decode", "header"] = "decode"
    """How an image is looked at before it enters the table: decoded to its end, or only its first bytes."""
    max_pixels: int = Field(default=50_000_000, ge=1, le=LARGEST_PIXELS)
    """Largest number of pixels of an image; larger ones are unreadable and are never decoded."""
    min_size: int = Field(default=8, ge=1)
    """Smallest width and height of an image, in pixels; a smaller one is refused."""
    size: PositiveInt | tuple[PositiveInt, PositiveInt] = 224
    """Working size in pixels: one number for a square, or height and width."""
    fit: Fit = "squash"
    """How an image comes to the working size: both sides scaled on their own (`squash`), the largest middle part of
    the right shape (`crop`), or the whole image with borders of its own border colour (`pad`)."""
    stain: Stain = "none"
    """Stain normalisation at the working size: Macenko et al. 2009 or Reinhard et al. 2001. Macenko's looks for two
    stains in each image, of which a single cell may show only one and a smear has three: `reinhard` is the safer."""
    stain_reference: str | None = None
    """Image whose stain the others are given; left out: May-Gruenwald-Giemsa as in the PBC images."""
    cache_dir: str | None = None
    """Folder for decoded images at the working size, shared by all Runs and processes; left out: none is kept. Images
    that are varied are then sampled from the working size and a little softer than from the decoded image."""
    workers: int = Field(default=0, ge=0)
    """Threads that decode; 0: one per core that this process may use."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the working size, in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


class AugmentationSettings(Settings):
    """How training images of smears are varied; every image anew in every epoch."""

    flips: bool = True
    """Mirror left-right and top-bottom, each with probability one half."""
    right_angles: bool = True
    """Turn by 0, 90, 180 or 270 degrees (0 or 180 where height and width differ)."""
    rotation_degrees: float = Field(default=15.0, ge=0, le=180)
    """Largest free turn either way; what comes into view from outside is the image mirrored at its border."""
    scale: float = Field(default=0.1, ge=0, le=0.9)
    """Largest relative change of size either way: 0.1 draws from 1/1.1 to 1.1, evenly in the logarithm."""
    shift: float = Field(default=0.05, ge=0, le=0.5)
    """Largest shift either way, as a part of the side."""
    stain: float = Field(default=0.1, ge=0, le=1)
    """Jitter of the amount of each stain in optical density (Tellez et al. 2018): factor 1 plus or minus this."""
    stain_shift: float = Field(default=0.02, ge=0, le=1)
    """Jitter added to the optical density of each stain."""
    brightness: float = Field(default=0.1, ge=0, le=0.9)
    """Largest relative change of the light: the image times 1 plus or minus this, cut off at white."""

    @classmethod
    def none(cls) -> "AugmentationSettings":
        """Return the settings that change nothing."""
        return cls(
            flips=False,
            right_angles=False,
            rotation_degrees=0,
            scale=0,
            shift=0,
            stain=0,
            stain_shift=0,
            brightness=0,
        )
