"""From the bytes of an image file to red, green and blue, whatever kind of PNG, JPEG, TIFF, BMP, WebP or GIF it is.

An image is looked at before it is decoded: its size stands in its first bytes, and one with too many pixels is never
given memory. What is no plain colour image becomes one: transparency lies on white, as glass does on a microscope's
lamp; greys of 16 bits (or 12, or 10) come to 8; of several frames the first is taken; a camera's turn is undone.
"""

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from trilineage.core.errors import ImageError
from trilineage.data.images.pixel_memory import pixels_of
from trilineage.data.images.resize_kernels import resize
from trilineage.data.images.settings import LARGEST_PIXELS, Fit

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")
"""What Pillow may open: formats of pixels only, none that can draw or run anything."""

_READERS = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    TiffImagePlugin.TiffImageFile,
    BmpImagePlugin.BmpImageFile,
    WebPImagePlugin.WebPImageFile,
    GifImagePlugin.GifImageFile,
)
"""Pillow's readers of these formats; importing them is what makes Pillow know them."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".webp", ".gif"})
"""File names that are taken for images, in lower case."""

MAX_FILE_BYTES = 1 << 30
"""Far above any image of a cell; a mistaken file is not read into memory."""

_DAMAGED = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    NotImplementedError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)
"""What Pillow's readers raise on damaged bytes (each was seen when files were damaged at random)."""

_GREY_DEPTHS = ((255, 0), (1023, 2), (4095, 4), (65535, 8))
"""Largest value of a grey image and the bits it has more than 8."""

_FAR = 2.2
"""Pixels of an image to one of the working size, along a side, beyond which it is resized before it is varied."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation of the EXIF standard."""


class ImageHeader(NamedTuple):
    """What the first bytes of an image say."""

    width: int
    """Pixels from left to right, after the camera's turn is undone."""
    height: int
    """Pixels from top to bottom, after the camera's turn is undone."""
    format: str
    """JPEG (MPO: several of them), PNG, TIFF, BMP, WEBP or GIF."""


class Unfitted(NamedTuple):
    """An image before it is brought to the working size."""

    pixels: UInt8[np.ndarray, "height width bands"]
    """Red, green and blue, 0 to 255, and perhaps a fourth byte that counts for nothing; only to be read."""
    box: tuple[float, float, float, float]
    """Left, top, right and bottom, in pixels, of what the working size shows."""


def probe(data: bytes, *, max_pixels: int = LARGEST_PIXELS, decode: bool = False) -> ImageHeader:
    """Return what an image says of itself; with `decode=True` go to its end, at the smallest scale there is.

    Raises
    ------
    ImageError
        If it is no image, has too many pixels or (with `decode`) is damaged or cut short.
    """
    try:
        image = _opened(data, max_pixels)
        width, height = image.size
        if _orientation(image) >= 5:
            width, height = height, width
        header = ImageHeader(width, height, image.format or "")
        if decode:
            image.draft("RGB", (1, 1))  # of a JPEG, an eighth: the whole file is read, little is computed
            image.load()
    except _DAMAGED as error:
        raise _unreadable(error) from error
    return header


def decode(data: bytes, *, max_pixels: int = LARGEST_PIXELS) -> UInt8[np.ndarray, "height width 3"]:
    """Return the pixels of an image at its own size: red, green, blue, 0 to 255.

    Raises
    ------
    ImageError
        If it is no image, has too many pixels, is damaged or cut short.
    """
    try:
        return np.asarray(_as_colour(_opened(data, max_pixels))).copy()
    except _DAMAGED as error:
        raise _unreadable(error) from error


def decode_sized(
    data: bytes, shape: tuple[int, int], fit: Fit, *, max_pixels: int = LARGEST_PIXELS
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the pixels of an image at a working size.

    A JPEG that is at least twice as large as needed is decoded at half (a quarter, an eighth) of its size: the inverse
    cosine transform then leaves out the frequencies that the working size cannot hold, much as a good filter would.
    On PBC images (360 x 363 to 144 x 144) that differs from decoding all by 0.9 of 255 grey values on average and takes
    six tenths of the time.

    Raises
    ------
    ImageError
        If it is no image, has too many pixels, is damaged or cut short.
    """
    try:
        image, size = _decoded(data, shape, fit, max_pixels)
        return fitted(image, shape, fit, size=size)
    except _DAMAGED as error:
        raise _unreadable(error) from error


def decode_unfitted(
    data: bytes, shape: tuple[int, int], fit: Fit, *, max_pixels: int = LARGEST_PIXELS
) -> Unfitted:
    """Return the pixels of an image and what of them the working size shows, for one who samples them anyway.

    Raises
    ------
    ImageError
        If it is no image, has too many pixels, is damaged or cut short.
    """
    try:
        image, size = _decoded(data, shape, fit, max_pixels)
        return unfitted(image, shape, fit, size=size)
    except _DAMAGED as error:
        raise _unreadable(error) from error


def unfitted(
    image: Image.Image, shape: tuple[int, int], fit: Fit, *, size: tuple[int, int] | None = None
) -> Unfitted:
    """Return a colour image as it is, if it is not far larger than the working size and needs no borders; else fitted.

    `size` is as in `fitted`.
    """
    box = _box(image, size or image.size, shape, fit)
    is_far = box[2] - box[0] > _FAR * shape[1] or box[3] - box[1] > _FAR * shape[0]
    return (
        whole(fitted(image, shape, fit, size=size))
        if is_far or fit == "pad"
        else Unfitted(pixels_of(image), box)
    )


def whole(pixels: UInt8[np.ndarray, "height width 3"]) -> Unfitted:
    """Return an image of which the working size shows all."""
    return Unfitted(pixels, (0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0])))


def fitted(
    image: Image.Image, shape: tuple[int, int], fit: Fit, *, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """Bring a colour image to a working size (height, width); see `ImageDataSettings.fit`.

    `size` (width, height) is what the image measured before it was decoded smaller, which settles its proportions.
    """
    if image.size == shape[::-1]:
        return np.asarray(image).copy()
    if fit == "pad":
        return _padded(image, shape, size or image.size)
    return _resized(image, shape, _box(image, size or image.size, shape, fit))


def _decoded(
    data: bytes, shape: tuple[int, int], fit: Fit, max_pixels: int
) -> tuple[Image.Image, tuple[int, int]]:
    """Return an image in colour, decoded no larger than needed, and its size before that."""
    image = _opened(data, max_pixels)
    if _orientation(image) != 1:
        image = _as_colour(image)
        return image, image.size
    size = image.size
    image.draft("RGB", _needed_size(size, shape, fit))
    return _as_colour(image), size


def _box(
    image: Image.Image, size: tuple[int, int], shape: tuple[int, int], fit: Fit
) -> tuple[float, float, float, float]:
    """Return what of an image the working size shows: left, top, right, bottom."""
    if fit == "crop":
        return _middle_box(image.size, size, shape)
    return 0.0, 0.0, float(image.width), float(image.height)


def _resized(
    image: Image.Image, shape: tuple[int, int], box: tuple[float, float, float, float]
) -> UInt8[np.ndarray, "height width 3"]:
    out = np.empty(3 * shape[0] * shape[1] + 1, np.uint8)
    resize(pixels_of(image), box, shape, out)
    return out[:-1].reshape(*shape, 3)


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    """Open an image without decoding it and refuse one with too many pixels."""
    if not data:
        raise ImageError("the file is empty", seen="0 bytes")
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError("too many pixels", seen=f"{width} x {height}", allowed=f"at most {max_pixels:,}")
    if width < 1 or height < 1:
        raise ImageError("no pixels", seen=f"{width} x {height}")
    return image


def _unreadable(error: BaseException) -> ImageError:
    if isinstance(error, ImageError):
        return error
    if isinstance(error, UnidentifiedImageError):
        return ImageError("not an image", allowed=", ".join(FORMATS))
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageError("too many pixels", seen=str(error).partition(" pixels")[0], allowed=LARGEST_PIXELS)
    return ImageError("damaged or cut short", seen=str(error)[:120] or type(error).__name__)


def _orientation(image: Image.Image) -> int:
    """Return the orientation of the EXIF standard; 1, upright, where none is given or it cannot be read."""
    if "exif" not in image.info and image.format != "TIFF":
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DAMAGED:
        return 1
    return orientation if orientation in _TURNS else 1


def _as_colour(image: Image.Image) -> Image.Image:
    """Return an image of any kind in red, green and blue, upright."""
    orientation = _orientation(image)
    image.load()
    if image.mode.startswith(("I", "F")):
        image = _grey_of_8_bits(image)
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = _on_white(image.convert("RGBA"))
    colour = image if image.mode == "RGB" else image.convert("RGB")
    return colour if orientation == 1 else colour.transpose(_TURNS[orientation])


def _grey_of_8_bits(image: Image.Image) -> Image.Image:
    """Bring greys of more than 8 bits to 8: by the bits they use, or from the least to the largest if these are odd."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    bits = next((bits for largest, bits in _GREY_DEPTHS if high <= largest), None)
    if image.mode == "F" and low >= 0 and high <= 1:
        values = values * 255
    elif low < 0 or bits is None:
        values = (values - low) * (255 / max(high - low, 1e-12))
    else:
        values = values / 2**bits
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    paper = Image.new("RGB", image.size, (255, 255, 255))
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _middle_box(
    here: tuple[int, int], size: tuple[int, int], shape: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Return the largest box in the middle of an image (width, height) with the proportions of `shape`."""
    scale = min(size[0] / shape[1], size[1] / shape[0])
    width, height = shape[1] * scale * here[0] / size[0], shape[0] * scale * here[1] / size[1]
    left, top = max((here[0] - width) / 2, 0.0), max((here[1] - height) / 2, 0.0)
    return left, top, min(left + width, here[0]), min(top + height, here[1])


def _needed_size(size: tuple[int, int], shape: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Return the (width, height) below which a JPEG must not be decoded, so that nothing has to be enlarged."""
    factors = (shape[1] / size[0], shape[0] / size[1])
    if fit == "squash":
        return shape[1], shape[0]
    factor = max(factors) if fit == "crop" else min(factors)
    return max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)


def _padded(
    image: Image.Image, shape: tuple[int, int], size: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """Scale the whole image into the working size and fill the rest with the median colour of its border."""
    scale = min(shape[1] / size[0], shape[0] / size[1])
    width = min(max(round(size[0] * scale), 1), shape[1])
    height = min(max(round(size[1] * scale), 1), shape[0])
    inner = _resized(image, (height, width), (0.0, 0.0, float(image.size[0]), float(image.size[1])))
    border = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
    pixels = np.empty((*shape, 3), np.uint8)
    pixels[:] = np.median(border, axis=0).astype(np.uint8)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    pixels[top : top + height, left : left + width] = inner
    return pixels
