"""Stains of a blood smear as directions of optical density, and the two published ways to give all images one stain.

An image that is nearly blank, or has one colour only, has no stain to speak of: it is left as it is, and the caller is
told so.

References
----------
Macenko et al. 2009, "A method for normalizing histology slides for quantitative analysis" (ISBI). Theirs takes white
for the light that falls on the stain; a smear's own background, which the lamp and the buffer colour, is taken here.
Reinhard et al. 2001, "Color transfer between images" (IEEE Computer Graphics and Applications 21), equations 4 to 11.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, UInt8

from trilineage.core.errors import ConfigError
from trilineage.data.images.augment_kernels import DENSITY_OF, restain

_BACKGROUND = 90.0
"""Percentile of each channel that is taken for the light of the background."""
_FAINTEST = 0.15
"""Mean optical density below which a pixel counts as background (beta of Macenko et al.)."""
_PERCENTILES = (1.0, 99.0)
"""Of the angles between pixels (alpha of Macenko et al.), and the upper one of the amounts."""
_FEWEST_PIXELS = 0.005
"""Part of an image that must be stained for its stains to be told."""
_NARROWEST = np.deg2rad(3.0)
"""Angle between the two stains below which there is only one."""
_FLATTEST = 1e-3
"""Standard deviation of l, alpha or beta below which an image is blank."""

_LMS_OF_RGB = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
"""Equation 4 of Reinhard et al."""
_LAB_OF_LMS = np.diag(1 / np.sqrt([3.0, 6.0, 2.0])) @ np.array([[1.0, 1, 1], [1, 1, -2], [1, -1, 0]])
"""Equation 6 of Reinhard et al."""


class StainReference(NamedTuple):
    """A stain that others are compared with or brought to."""

    light: Float64[np.ndarray, " 3"]
    """Optical density of the background."""
    vectors: Float64[np.ndarray, "2 3"]
    """Direction of each stain (of nuclei, of red cells) in optical density of red, green and blue; of length 1."""
    strengths: Float64[np.ndarray, " 2"]
    """99th percentile of the amount of each stain."""
    means: Float64[np.ndarray, " 3"]
    """Mean of l, alpha and beta (Reinhard)."""
    deviations: Float64[np.ndarray, " 3"]
    """Standard deviation of l, alpha and beta (Reinhard)."""

    @property
    def basis(self) -> Float64[np.ndarray, "3 3"]:
        """The two stains and the direction at right angles to both, for what they leave unexplained."""
        return _with_rest(self.vectors)


def _with_rest(vectors: Float64[np.ndarray, "2 3"]) -> Float64[np.ndarray, "3 3"]:
    """Add the direction at right angles to two stains; it points to the side on which blue is absorbed."""
    rest = np.cross(vectors[0], vectors[1])
    return np.vstack([vectors, rest / (np.linalg.norm(rest) * (-1 if rest[2] < 0 else 1))])


MAY_GRUENWALD_GIEMSA = StainReference(
    light=np.array([0.0, 0.1028, 0.2271]),
    vectors=np.array([[0.4511, 0.8876, 0.0931], [0.7120, 0.6550, 0.2531]]),
    strengths=np.array([2.380, 1.077]),
    means=np.array([-0.2238, 0.0169, 0.0105]),
    deviations=np.array([0.1918, 0.0700, 0.0053]),
)
"""Measured on pixels drawn from 800 training images of PBC (100 of each class, acquisition group A), taken together."""

Normaliser = Callable[[UInt8[np.ndarray, "height width 3"]], UInt8[np.ndarray, "height width 3"] | None]
"""What gives an image the stain of a reference, or None where the image has none that can be told."""


def stain_normaliser(method: Literal["macenko", "reinhard"], reference: StainReference) -> Normaliser:
    """Return the function that gives images the stain of a reference by one of the two methods."""
    if method == "macenko":
        return lambda pixels: normalise_macenko(pixels, reference)
    return lambda pixels: normalise_reinhard(pixels, reference)


def normalise_macenko(
    pixels: UInt8[np.ndarray, "height width 3"], reference: StainReference
) -> UInt8[np.ndarray, "height width 3"] | None:
    """Give an image the stains of a reference, in its own amounts scaled to the strength of the reference.

    Amounts are C = (D - L) B^-1 over the background's L, the result D' = C diag(s_ref / s, 1) B_ref + L_ref: one matrix
    and one shift for all pixels. B holds both stains and, unlike the paper's, the direction at right angles to them:
    what two stains do not explain is kept, for a smear has a third, the eosin of granules.

    Returns
    -------
        The image, or None if it is blank or has one stain only.
    """
    found = macenko_stains(pixels)
    if found is None:
        return None
    light, vectors, strengths = found
    scales = np.diag([*(reference.strengths / strengths), 1.0])
    mix = np.linalg.inv(_with_rest(vectors)) @ scales @ reference.basis
    shift = reference.light - light @ mix
    out = np.empty_like(pixels)
    restain(pixels, mix.astype(np.float32), shift.astype(np.float32), DENSITY_OF, out)
    return out


def macenko_stains(
    pixels: UInt8[np.ndarray, "height width 3"],
) -> tuple[Float64[np.ndarray, " 3"], Float64[np.ndarray, "2 3"], Float64[np.ndarray, " 2"]] | None:
    """Return the background of an image and direction and strength of its two stains, that of dark nuclei first.

    Pixels are projected on the plane of the two largest eigenvectors of their densities; the stains are the directions
    near both ends (1st and 99th percentile) of the angles in that plane. Which is which, hue does not tell in a smear
    (red cells are pink or grey by the buffer): the end whose pixels are darker is that of the nuclei.

    Returns
    -------
        Density of the background, directions of length 1 and 99th percentiles of amounts; or None if the image is
        blank or has one stain only.
    """
    flat = pixels.reshape(-1, 3)
    background = np.percentile(flat, _BACKGROUND, axis=0).astype(np.uint8)
    light = DENSITY_OF[background]
    density = DENSITY_OF[flat] - light
    stained = density[density.mean(axis=1) >= _FAINTEST]
    if len(stained) < max(_FEWEST_PIXELS * len(density), 8):
        return None
    plane = np.linalg.eigh(np.cov(stained.T.astype(np.float64)))[1][:, [2, 1]]
    plane *= np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
    projected = stained @ plane.astype(np.float32)
    angles = np.arctan2(projected[:, 1], projected[:, 0])
    low, low_side, high_side, high = np.percentile(angles, [_PERCENTILES[0], 10, 90, _PERCENTILES[1]])
    if high - low < _NARROWEST:
        return None
    ends = np.array([[np.cos(low), np.sin(low)], [np.cos(high), np.sin(high)]]) @ plane.T
    if stained[angles <= low_side].mean() < stained[angles >= high_side].mean():
        ends = ends[::-1]
    amounts = stained @ np.linalg.pinv(ends).astype(np.float32)
    strengths = np.percentile(amounts, _PERCENTILES[1], axis=0).astype(np.float64)
    is_usable = (strengths > _FAINTEST / 2).all() and (ends > -0.2).all()
    return (light.astype(np.float64), ends, strengths) if is_usable else None


def normalise_reinhard(
    pixels: UInt8[np.ndarray, "height width 3"], reference: StainReference
) -> UInt8[np.ndarray, "height width 3"] | None:
    """Give an image the means and standard deviations of a reference in the space l alpha beta.

    Returns
    -------
        The image, or None if it is blank.
    """
    values = _lab(pixels)
    means, deviations = values.mean(axis=0), values.std(axis=0)
    if (deviations < _FLATTEST).any():
        return None
    moved = (values - means) * (reference.deviations / deviations).astype(np.float32)
    moved += reference.means.astype(np.float32)
    lms = 10 ** (moved @ np.linalg.inv(_LAB_OF_LMS).T.astype(np.float32))
    light = lms @ np.linalg.inv(_LMS_OF_RGB).T.astype(np.float32) * 256 - 1
    return np.clip(np.rint(light), 0, 255).astype(np.uint8).reshape(pixels.shape)


def stain_of(pixels: UInt8[np.ndarray, "height width 3"], name: str) -> StainReference:
    """Return the stain of an image, to bring others to.

    Raises
    ------
    ConfigError
        If the image is blank or has one stain only.
    """
    found = macenko_stains(pixels)
    values = _lab(pixels)
    if found is None or (values.std(axis=0) < _FLATTEST).any():
        raise ConfigError(
            "the reference image shows no two stains",
            seen=name,
            allowed="a stained smear with white and red cells",
            remedy="choose another stain_reference, or leave it out",
        )
    means, deviations = values.mean(axis=0), values.std(axis=0)
    return StainReference(*found, means.astype(np.float64), deviations.astype(np.float64))


def _lab(pixels: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "pixel 3"]:
    """Return l, alpha and beta of every pixel (equations 4 to 6); a black pixel counts as 1/256."""
    light = (pixels.reshape(-1, 3).astype(np.float32) + 1) / 256
    return np.log10(light @ _LMS_OF_RGB.T.astype(np.float32)) @ _LAB_OF_LMS.T.astype(np.float32)
