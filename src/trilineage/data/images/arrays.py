"""Images in a NumPy archive: MedMNIST's parts of a split, or one table of pixels with labels beside it."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped, UInt8

from trilineage.core.errors import FormatError
from trilineage.data.cohort import shown
from trilineage.data.images.listing import Listing, listing_from_frame
from trilineage.data.images.settings import ImageDataSettings

BLOODMNIST_CLASSES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "ig",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
"""Names of BloodMNIST's labels 0 to 7 (Yang et al. 2023), which its file does not hold."""

_MEDMNIST_PARTS = ("train", "val", "test")
_LARGEST_RATIO, _SMALL_BYTES = 200, 200_000_000
"""A member that is larger than this many bytes and unpacks to more than this multiple holds no photographs."""
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    MemoryError,
    NotImplementedError,
)


def read_arrays(path: Path, settings: ImageDataSettings, *, codes_as_published: bool = False) -> Listing:
    """List the images of an .npz file.

    Either MedMNIST's layout, `{train,val,test}_images` and `_labels`, or one table: `images` with `labels` and any
    other array of as many rows (`split` with `split_names`, `files`, `class_names` for the labels, further columns).
    Grey images become coloured ones. With `codes_as_published`, labels of MedMNIST stay numbers even where their names
    are known.

    Raises
    ------
    FormatError
        If the file is damaged, has another layout, or claims more than it can hold.
    """
    members = _members(path)
    if "images" in members:
        return _table(path, members, settings)
    if any(f"{part}_images" in members for part in _MEDMNIST_PARTS):
        named = path.stem.lower().startswith("bloodmnist") and not codes_as_published
        return _medmnist(path, members, settings, names=BLOODMNIST_CLASSES if named else ())
    raise FormatError(
        f"{path.name} holds no images in a layout that is known",
        seen=shown(members) or "no arrays",
        allowed="images and labels, or train_images, train_labels, val_images, ... as MedMNIST has them",
    )


def _members(path: Path) -> Mapping[str, Any]:
    """Open an archive and check what its members claim."""
    if not path.is_file():
        raise FormatError("no such file", seen=path, remedy="check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                is_large = member.file_size > _SMALL_BYTES
                if is_large and member.file_size > _LARGEST_RATIO * max(member.compress_size, 1):
                    raise FormatError(
                        f"{path.name} claims more than photographs can unpack to",
                        seen=f"{member.filename}: {member.compress_size:,} bytes that become {member.file_size:,}",
                        allowed=f"at most {_LARGEST_RATIO} times as many",
                    )
        opened: Mapping[str, Any] = np.load(path, allow_pickle=False)
        return opened
    except _DAMAGED as error:
        raise FormatError(f"cannot read {path.name} as arrays", seen=str(error)[:200]) from error


def _array(members: Mapping[str, Any], name: str, path: Path) -> Shaped[np.ndarray, "..."]:
    try:
        array = members[name]
    except _DAMAGED as error:
        raise FormatError(f"cannot read {name!r} of {path.name}", seen=str(error)[:200]) from error
    return np.asarray(array)


def _pixels(
    members: Mapping[str, Any], name: str, path: Path
) -> UInt8[np.ndarray, "array_row height width 3"]:
    """Return images in colour; those in grey are shown three times without being copied."""
    array = _array(members, name, path)
    if array.ndim == 3:
        array = array[..., None]
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in (1, 3) or 0 in array.shape:
        raise FormatError(
            f"{name!r} of {path.name} holds no images",
            seen=f"{array.dtype} of shape {array.shape}",
            allowed="uint8 of shape (image, height, width) or (image, height, width, 1 or 3)",
        )
    return np.broadcast_to(array, (*array.shape[:3], 3))


def _table(path: Path, members: Mapping[str, Any], settings: ImageDataSettings) -> Listing:
    pixels = _pixels(members, "images", path)
    n = len(pixels)
    columns = {}
    for name in members:
        if name != "images" and not name.endswith("_names"):
            values = _array(members, name, path)
            values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
            if values.shape == (n,):
                columns[name] = values
    for words, coded in (("class_names", "labels"), ("split_names", "split")):
        if words in members and coded in columns:
            columns[coded] = _named(columns[coded], _array(members, words, path).astype(str), path)
    if "labels" in columns:
        columns = {"label": columns.pop("labels"), **columns}
    frame = pd.DataFrame(columns, index=range(n))
    files = next((name for name in ("files", "file", "names", "path") if name in columns), None)
    names = [f"{row:06d}" for row in range(n)] if files is None else columns[files].astype(str).tolist()
    return listing_from_frame(
        frame, settings, names=names, pixels=pixels, taken=() if files is None else (files,)
    )


def _medmnist(
    path: Path, members: Mapping[str, Any], settings: ImageDataSettings, *, names: tuple[str, ...]
) -> Listing:
    parts = [part for part in _MEDMNIST_PARTS if f"{part}_images" in members]
    pixels = [_pixels(members, f"{part}_images", path) for part in parts]
    if len({images.shape[1:] for images in pixels}) > 1:
        raise FormatError(f"the parts of {path.name} differ in size", seen=[i.shape for i in pixels])
    labels = [_medmnist_labels(members, part, len(i), path) for part, i in zip(parts, pixels, strict=True)]
    codes = np.concatenate(labels)
    frame = pd.DataFrame(
        {
            "label": _named(codes, np.array(names), path) if names else codes.astype(str),
            "split": np.concatenate([np.full(len(i), p) for p, i in zip(parts, pixels, strict=True)]),
        }
    )
    every = [f"{part}/{row:06d}" for part, i in zip(parts, pixels, strict=True) for row in range(len(i))]
    return listing_from_frame(frame, settings, names=every, pixels=np.concatenate(pixels))


def _medmnist_labels(
    members: Mapping[str, Any], part: str, n: int, path: Path
) -> Shaped[np.ndarray, " part_row"]:
    if f"{part}_labels" not in members:
        return np.full(n, "", dtype=str)
    labels = _array(members, f"{part}_labels", path)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (n,):
        raise FormatError(
            f"{part}_labels of {path.name} are not one label per image",
            seen=f"shape {labels.shape} for {n:,} images",
            allowed=f"({n},) or ({n}, 1); data sets with several labels per image are not read",
        )
    return labels


def _named(
    codes: Shaped[np.ndarray, " row"], names: Shaped[np.ndarray, " name"], path: Path
) -> Shaped[np.ndarray, " row"]:
    """Return the names of integer codes; what is no integer stays as it is."""
    if codes.dtype.kind not in "iub":
        return codes
    if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < len(names):
        raise FormatError(
            f"{path.name} has codes without a name",
            seen=f"{int(codes.min())} to {int(codes.max())}",
            allowed=f"0 to {len(names) - 1}: {shown(names)}",
        )
    return names[codes.astype(np.int64)]
