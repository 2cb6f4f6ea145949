"""Maps laid over images as a haematologist reads them: colours safe for the colour-blind, a contour, grids, PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from trilineage.core.errors import ConfigError
from trilineage.explain.saliency.maps import SaliencyMaps

HEAT = (
    (0.22, 0.01, -0.09),
    (0.405, 0.03, -0.15),
    (0.59, 0.10, -0.03),
    (0.775, 0.07, 0.11),
    (0.96, -0.02, 0.11),
)
"""Stops of the colours of evidence in OKLab (lightness, green-red, blue-yellow): blue, violet, rose, orange, yellow.

Lightness rises evenly from stop to stop and carries the order, also for the colour-blind and in print; blue to yellow
is the contrast that all common kinds of colour blindness keep."""

FOR = ((0.97, 0.0, 0.0), (0.775, 0.07, 0.11), (0.55, 0.12, 0.08))
"""Stops for evidence for, where there is also some against: white to orange to red-brown."""

AGAINST = ((0.97, 0.0, 0.0), (0.72, -0.06, -0.07), (0.45, -0.03, -0.14))
"""Stops for evidence against: white to blue."""

TOP_SHARE = 0.1
"""Part of the image inside the contour."""

_LAB_TO_CONE_ROOTS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_CONES_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
"""Matrices of OKLab (Ottosson 2020)."""

_MARGIN, _CAPTION_HEIGHT, _FONT_SIZE = 6, 20, 13
"""Pixels between pictures, above each of them, and of the letters."""


@dataclass(frozen=True)
class OverlayStyle:
    """How a map lies over its image."""

    opacity: float = 0.55
    """Of the colour where the map is highest; where the map is 0 the image is seen as it is."""
    top_share: float = TOP_SHARE
    """Part of the image that the contour runs round; 0: no contour."""
    least_side: int = 192
    """Pixels of the shorter side of a picture; smaller images are enlarged."""


def heat_colours(values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Return the colour of evidence from 0 (dark blue) to 1 (light yellow).

    Examples
    --------
    >>> heat_colours(np.array([0.0, 1.0])).tolist()
    [[18, 18, 67], [255, 244, 154]]
    """
    return _colours(values, HEAT)


def signed_colours(values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Return the colour of evidence from -1 (against, blue) over 0 (white) to 1 (for, red-brown)."""
    return np.where(values[..., None] < 0, _colours(-values, AGAINST), _colours(values, FOR))


def overlay(
    image: UInt8[np.ndarray, "height width 3"],
    values: Float[np.ndarray, "rows columns"],
    style: OverlayStyle | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay a map over its image: coloured and opaque where it is high, with a contour round its top part.

    Parameters
    ----------
    image
        RGB.
    values
        The map on the pixels of the image. If it has negative values they are shown in blue. A map of NaN leaves the
        image in grey.
    style
        Opacity and contour.
    """
    style = style or OverlayStyle()
    if values.shape != image.shape[:2]:
        raise ConfigError(
            "a map and its image have different sizes",
            seen=f"{values.shape} and {image.shape[:2]}",
            allowed="one size",
            remedy="bring the map to the size of the image with `at_image_size`",
        )
    if np.isnan(values).any():
        grey = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
        return grey.astype(np.uint8)
    scaled = values / max(float(np.abs(values).max()), np.finfo(np.float32).tiny)
    colours = signed_colours(scaled) if scaled.min() < 0 else heat_colours(scaled)
    opacity = style.opacity * np.abs(scaled)[..., None]
    picture = np.rint((1 - opacity) * image + opacity * colours).astype(np.uint8)
    return _with_contour(picture, top_area(scaled, style.top_share)) if style.top_share > 0 else picture


def top_area(values: Float[np.ndarray, "height width"], share: float) -> Bool[np.ndarray, "height width"]:
    """Return the given share of the pixels, those where the map is highest and positive."""
    if share >= 1:
        return values > 0
    return (values > np.quantile(values, 1 - share)) & (values > 0)


def contact_sheet(
    images: UInt8[np.ndarray, "image height width 3"],
    maps: SaliencyMaps,
    *,
    captions: Sequence[str] = (),
    style: OverlayStyle | None = None,
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return a page with a row per image: the image, then the overlay of each of its targets under its name.

    Parameters
    ----------
    images
        RGB at the size the classifier saw.
    maps
        Of the same images in the same order.
    captions
        Text over each image; left out: its name.
    style
        How each map lies over its image.
    """
    style = style or OverlayStyle()
    captions = captions or maps.images
    rows = []
    for row, image in enumerate(images):
        cells = [captioned(image, captions[row], style)]
        for place, values in enumerate(maps.at_image_size(row)):
            if maps.targets.exists[row, place]:
                picture = overlay(image, values, style)
                cells.append(captioned(picture, maps.targets.label(row, place), style))
            else:
                cells.append(np.full_like(cells[0], 255))
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows, axis=0)


def captioned(
    picture: UInt8[np.ndarray, "height width 3"], text: str, style: OverlayStyle | None = None
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Put a line of text over a picture, cut to its width, and a margin round both."""
    shown = _enlarged(picture, (style or OverlayStyle()).least_side)
    height, width = shown.shape[:2]
    page = Image.new("RGB", (width + 2 * _MARGIN, height + _CAPTION_HEIGHT + 2 * _MARGIN), "white")
    page.paste(Image.fromarray(shown), (_MARGIN, _CAPTION_HEIGHT + _MARGIN))
    font = ImageFont.load_default(_FONT_SIZE)
    ImageDraw.Draw(page).text((_MARGIN, _MARGIN // 2), _cut(text, font, width), fill="black", font=font)
    return np.array(page)


def png_bytes(picture: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """Return a picture as PNG; the same picture gives the same bytes."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _colours(
    values: Float[np.ndarray, "*shape"], stops: Sequence[tuple[float, float, float]]
) -> UInt8[np.ndarray, "*shape 3"]:
    """Interpolate between stops in OKLab (Ottosson 2020) and return sRGB."""
    at = np.linspace(0, 1, len(stops))
    lab = np.stack([np.interp(values, at, channel) for channel in zip(*stops, strict=True)], axis=-1)
    linear = (lab @ _LAB_TO_CONE_ROOTS.T) ** 3 @ _CONES_TO_RGB.T
    linear = np.clip(linear, 0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * coded).astype(np.uint8)


def _with_contour(
    picture: UInt8[np.ndarray, "height width 3"], area: Bool[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the edge of an area: white inside, black outside, so that it is seen on any ground."""
    drawn = picture.copy()
    grown, shrunk = _grown(area), ~_grown(~area)
    drawn[grown & ~area] = 0
    drawn[area & ~shrunk] = 255
    return drawn


def _grown(area: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Return an area with the pixels above, below, left and right of it."""
    grown = area.copy()
    grown[1:] |= area[:-1]
    grown[:-1] |= area[1:]
    grown[:, 1:] |= area[:, :-1]
    grown[:, :-1] |= area[:, 1:]
    return grown


def _enlarged(
    picture: UInt8[np.ndarray, "height width 3"], least_side: int
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Enlarge a small picture by a whole factor, pixel by pixel."""
    factor = max(1, round(least_side / min(picture.shape[:2])))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Cut a text to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
