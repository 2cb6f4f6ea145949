"""The options of an inspection: which images, and from where on two of them are one, or a group is a group."""

from pydantic import Field

from trilineage.core.config import Settings
from trilineage.data.images.settings import ImageDataSettings


class InspectionSettings(Settings):
    """What `trilineage data check` looks at and what it calls a finding."""

    data: ImageDataSettings = ImageDataSettings()
    """Where the images are and which columns say what."""
    near_distance: int = Field(default=6, ge=0, le=7)
    """Bits of 63 by which the perceptual hashes of two candidates may differ; beyond 7 the search would miss some."""
    near_correlation: float = Field(default=0.95, gt=0, le=1)
    """Correlation of grey values, after the best small shift, from which two images count as near duplicates. On PBC
    pairs of one cell reach .98 and more, all other pairs stay below .88."""
    small_correlation: float = Field(default=0.98, gt=0, le=1)
    """The same for images of fewer than 48 pixels either way, which hold less to tell them apart by."""
    is_turned_searched: bool = True
    """Whether copies that were turned by right angles or mirrored are looked for too."""
    colour_gap: float = Field(default=10.0, gt=0)
    """Grey levels (of 255) without any image that separate two groups of background colours."""
    smallest_group: float = Field(default=0.005, ge=0, le=1)
    """Least share of the images that makes a group (and never fewer than 10); the rest are called odd."""
    confounding: float = Field(default=0.3, ge=0, le=1)
    """Cramer's V between site (or found acquisition) and class from which they count as confounded."""
