"""Pictures of concepts: patches as boxes, masks and crops, heat on one fixed scale per latent, and sprite sheets."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from PIL import Image
from pydantic import Field

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError
from trilineage.core.progress import progress
from trilineage.explain.concepts.attribution import TokenMaker, encode_tokens
from trilineage.explain.overlays import heat_colours
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.streaming import Load, images_per_batch, stream_batches

HEAT_PADDING = 1
"""Patches by which a tile of heat is continued on each side, so that a browser that smooths it mixes no two tiles."""
OPACITY = 0.8
"""Of the colour at the top of the scale."""
_NO_IMAGE = -1
_OUTLINES = ((0, 0, 0), (255, 255, 255))
"""Colours of an outline, from outside to inside: seen on any ground."""

ReadImage = Callable[[int], np.ndarray]
"""From the position of an image to its pixels (height width 3), 0 to 255 (`ImageTable.read_sized`)."""


class SpriteSettings(Settings):
    """How the reference pictures of concepts are drawn and put on sheets."""

    tile: int = Field(default=112, ge=16, le=512)
    """Height of a picture in pixels; its width follows the shape of the images."""
    cards_per_sheet: int = Field(default=8, ge=1, le=64)
    """Concepts on one sheet, a row each; a browser loads a sheet when one of them is seen."""
    references: int = Field(default=8, ge=1, le=64)
    """Pictures of a concept."""
    quality: int = Field(default=82, ge=30, le=95)
    """Of the JPEG."""


class Box(NamedTuple):
    """A rectangle of pixels."""

    top: int
    """First row."""
    left: int
    """First column."""
    bottom: int
    """Row after the last."""
    right: int
    """Column after the last."""


class Sheet(NamedTuple):
    """The pictures of some concepts as two files: cells, and the heat that a page lays over them."""

    name: str
    """Number of the sheet in three digits or more."""
    cells: bytes
    """JPEG; a row per concept, a column per reference, tiles without gaps."""
    heat: bytes
    """PNG with transparency; the same tiles, a pixel per patch and `HEAT_PADDING` more on each side."""


# ---- patches --------------------------------------------------------------------------------------------------------


def patch_box(patch: int, grid: tuple[int, int], image_size: tuple[int, int]) -> Box:
    """Return the pixels of a patch; patches are numbered in reading order and the class token is none of them.

    Raises
    ------
    ConfigError
        If there is no such patch.

    Examples
    --------
    >>> patch_box(0, (2, 4), (32, 64)), patch_box(5, (2, 4), (32, 64))
    (Box(top=0, left=0, bottom=16, right=16), Box(top=16, left=16, bottom=32, right=32))
    """
    if not 0 <= patch < grid[0] * grid[1]:
        raise ConfigError(
            "there is no such patch",
            seen=patch,
            allowed=f"0 to {grid[0] * grid[1] - 1}",
            remedy="leave out references that only the class token activates (-1)",
        )
    row, column = divmod(patch, grid[1])
    rows, columns = (
        np.rint(np.linspace(0, n, k + 1)).astype(int) for n, k in zip(image_size, grid, strict=True)
    )
    return Box(int(rows[row]), int(columns[column]), int(rows[row + 1]), int(columns[column + 1]))


def patch_crop(
    image: UInt8[np.ndarray, "height width 3"], patch: int, grid: tuple[int, int], *, context: int = 1
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Cut a patch out of its image with some patches around it; at an edge the crop moves inwards and stays as large.

    Parameters
    ----------
    image
        RGB; its grid is that of the encoder, whatever its own size.
    patch
        Which one.
    grid
        Rows and columns of patches.
    context
        Patches on each side.
    """
    patch_box(patch, grid, image.shape[:2])
    sides = [_side(place, n, context) for place, n in zip(divmod(patch, grid[1]), grid, strict=True)]
    (first_row, last_row), (first_column, last_column) = sides
    start = patch_box(first_row * grid[1] + first_column, grid, image.shape[:2])
    end = patch_box(last_row * grid[1] + last_column, grid, image.shape[:2])
    return image[start.top : end.bottom, start.left : end.right]


def patch_mask(
    values: Float[np.ndarray, "gh gw"], image_size: tuple[int, int], *, above: float = 0.0
) -> Bool[np.ndarray, "height width"]:
    """Return the pixels of the patches in which a latent exceeds a bound, in the unit of its activations."""
    mask = np.zeros(image_size, dtype=bool)
    for patch in np.flatnonzero(values > above):
        box = patch_box(int(patch), values.shape, image_size)
        mask[box.top : box.bottom, box.left : box.right] = True
    return mask


def outlined(image: UInt8[np.ndarray, "height width 3"], box: Box) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the edge of a box: black outside, white inside."""
    drawn = image.copy()
    for inset, colour in zip((-1, 0), _OUTLINES, strict=True):
        top, left = max(box.top + inset, 0), max(box.left + inset, 0)
        bottom, right = box.bottom - 1 - inset, box.right - 1 - inset
        bottom, right = min(bottom, image.shape[0] - 1), min(right, image.shape[1] - 1)
        drawn[[top, bottom], left : right + 1] = colour
        drawn[top : bottom + 1, [left, right]] = colour
    return drawn


def heated(
    image: UInt8[np.ndarray, "height width 3"], values: Float[np.ndarray, "height width"], full: float
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay a map over its image, in grey, on a fixed scale: transparent at 0, the strongest colour from `full` on.

    Unlike `explain.overlays.overlay`, which stretches every map to its own maximum, the same activation has the same
    colour in every image. Grey, because stains have the colours of heat.

    Parameters
    ----------
    image
        RGB.
    values
        Activations on its pixels (`attribution.soft_map`).
    full
        Activation of the strongest colour, one for all images of a latent; above 0.
    """
    share = _share(values, full)
    opacity = OPACITY * share[..., None]
    grey = image.mean(axis=2, keepdims=True)
    return np.rint((1 - opacity) * grey + opacity * heat_colours(share)).astype(np.uint8)


def full_colours(maps: Float[np.ndarray, "latent rank gh gw"]) -> Float[np.ndarray, " latent"]:
    """Return the scale of each latent: its largest activation in a patch of its references; 0 where there is none."""
    return np.nan_to_num(maps, nan=0.0).max(axis=(1, 2, 3), initial=0.0)


# ---- maps of all references -----------------------------------------------------------------------------------------


def reference_maps(
    encoder: TokenMaker,
    sae: SparseAutoencoder,
    load: Load,
    images: Int[np.ndarray, "latent rank"],
    latents: Sequence[int],
    *,
    workers: int = 0,
) -> Float32[np.ndarray, "latent rank gh gw"]:
    """Return the raw map of each latent on each of its reference images; every image is encoded once.

    Parameters
    ----------
    encoder
        Whose tokens the autoencoder reads.
    sae
        The autoencoder.
    load
        From positions of images to their pixels (b 3 h w).
    images
        Position of the reference images of each latent; -1 where there are fewer, which gives NaN, as everything does
        where only the class token is kept.
    latents
        Number of each latent.
    workers
        Threads; 0: one per core.
    """
    maps = np.full((*images.shape, *encoder.grid), np.nan, np.float32)
    if encoder.n_tokens == encoder.n_prefix:
        return maps
    places: dict[int, list[tuple[int, int]]] = {}
    for row, rank in zip(*np.nonzero(images != _NO_IMAGE), strict=True):
        places.setdefault(int(images[row, rank]), []).append((int(row), int(rank)))
    wanted = np.array(sorted(places), np.int64)
    device = getattr(encoder, "device", "cpu")
    step = images_per_batch(encoder.image_size, device)
    batches = (wanted[start : start + step] for start in range(0, len(wanted), step))
    found = stream_batches(
        lambda pixels: encode_tokens(encoder, sae, pixels), load, batches, workers=workers, device=device
    )
    with progress("reference maps", len(wanted), "images") as meter:
        for positions, codes in found:
            for place, position in enumerate(positions.tolist()):
                rows, ranks = zip(*places[position], strict=True)
                own = codes.of_image(place).maps([latents[row] for row in rows])
                maps[list(rows), list(ranks)] = own[0].cpu().numpy()
            meter.advance(len(positions))
    return maps


# ---- sheets ---------------------------------------------------------------------------------------------------------


def sprite_sheets(
    read: ReadImage,
    images: Int[np.ndarray, "latent rank"],
    maps: Float[np.ndarray, "latent rank gh gw"],
    settings: SpriteSettings | None = None,
) -> Iterator[Sheet]:
    """Draw the references of concepts, a sheet at a time.

    Memory: one sheet. An image is read once for every concept that it stands for.

    Parameters
    ----------
    read
        Reads images at one size.
    images
        Position of the references of each concept, in the order of the cards; -1 where there are fewer.
    maps
        `reference_maps` of them.
    settings
        Size and number of the pictures.
    """
    settings = settings or SpriteSettings()
    full = full_colours(maps)
    columns = min(settings.references, images.shape[1])
    for number, start in enumerate(range(0, len(images), settings.cards_per_sheet)):
        rows = slice(start, start + settings.cards_per_sheet)
        cells = _cells(read, images[rows, :columns], settings.tile)
        heat = _heat(maps[rows, :columns], full[rows])
        yield Sheet(
            f"{number:03d}",
            _encoded(cells, "JPEG", quality=settings.quality, optimize=True),
            _encoded(heat, "PNG", compress_level=6),
        )


def strip(
    pictures: Sequence[UInt8[np.ndarray, "height width 3"]], *, tile: int = 112, gap: int = 4
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Put pictures side by side at one height on white, as a patient page shows a concept."""
    shown = [_at_height(picture, tile) for picture in pictures]
    space = np.full((tile, gap, 3), 255, np.uint8)
    parts = [part for picture in shown for part in (picture, space)]
    return np.concatenate(parts[:-1], axis=1) if parts else space


def _cells(
    read: ReadImage, images: Int[np.ndarray, "card rank"], height: int
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return the pictures of some concepts, a row each; white where there is none."""
    drawn = {
        (int(row), int(rank)): _at_height(read(int(images[row, rank])), height)
        for row, rank in zip(*np.nonzero(images != _NO_IMAGE), strict=True)
    }
    width = next((picture.shape[1] for picture in drawn.values()), height)
    page = np.full((len(images) * height, images.shape[1] * width, 3), 255, np.uint8)
    for (row, rank), picture in drawn.items():
        page[row * height : (row + 1) * height, rank * width : (rank + 1) * width] = picture
    return page


def _heat(
    maps: Float[np.ndarray, "card rank gh gw"], full: Float[np.ndarray, " card"]
) -> UInt8[np.ndarray, "rows columns 4"]:
    """Return the heat of some concepts, a row each, with a padding that continues each tile."""
    share = _share(np.nan_to_num(maps, nan=0.0), full[:, None, None, None])
    sides = ((0, 0), (0, 0), (HEAT_PADDING, HEAT_PADDING), (HEAT_PADDING, HEAT_PADDING))
    share = np.pad(share, sides, mode="edge")  # card rank gh gw
    share = share.transpose(0, 2, 1, 3).reshape(share.shape[0] * share.shape[2], -1)
    opacity = np.rint(255 * OPACITY * share).astype(np.uint8)
    return np.concatenate([heat_colours(share), opacity[..., None]], axis=-1)


def _share(values: Float[np.ndarray, "*shape"], full: Any) -> Float[np.ndarray, "*shape"]:
    """Return activations as shares of the strongest colour, in [0, 1]."""
    return np.clip(values / np.maximum(full, np.finfo(np.float32).tiny), 0.0, 1.0)


def _side(place: int, n: int, context: int) -> tuple[int, int]:
    """Return the first and last of 2 x context + 1 places around one, moved inwards at an edge."""
    length = min(2 * context + 1, n)
    first = min(max(place - context, 0), n - length)
    return first, first + length - 1


def _at_height(
    picture: UInt8[np.ndarray, "height width 3"], height: int
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Resize a picture to a height."""
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    return np.array(
        Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    )


def _encoded(picture: UInt8[np.ndarray, "height width channel"], kind: str, **options: int) -> bytes:
    """Return a picture as a file; the same picture gives the same bytes."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format=kind, **options)
    return stream.getvalue()
