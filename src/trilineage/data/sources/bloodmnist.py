"""BloodMNIST (MedMNIST): the cells of Acevedo et al. at 28 to 224 pixels with an official split."""

from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from trilineage.core.errors import FormatError
from trilineage.data.download import RemoteFile
from trilineage.data.sources.source import Source
from trilineage.data.sources.walking import table

PARTS = {"train": "train", "val": "valid", "test": "test"}
_FILES = ("bloodmnist.npz", "bloodmnist_64.npz", "bloodmnist_128.npz", "bloodmnist_224.npz")
_LAYOUT = "bloodmnist*.npz with train_images, train_labels, val_..., test_..."


def list_images(root: Path) -> pd.DataFrame:
    """List the images: `path` is the npz file, `array` and `row` say where in it the image is.

    `root` is the file, or a folder with one; of several sizes in a folder the smallest is read.
    """
    path = root if root.is_file() else next((root / name for name in _FILES if (root / name).is_file()), root)
    if not path.is_file():
        raise FormatError("no such file", seen=root, allowed=" or ".join(_FILES), remedy="check the path")
    return table(_rows(path), root, _LAYOUT)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            labels = {part: arrays[f"{part}_labels"].reshape(-1) for part in PARTS}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise FormatError(f"cannot read {path.name} as BloodMNIST", seen=error, allowed=_LAYOUT) from None
    for part, codes in labels.items():
        for row, code in enumerate(codes.tolist()):
            yield {
                "path": path.name,
                "label": str(code),
                "split": PARTS[part],
                "array": f"{part}_images",
                "row": str(row),
            }


def _file(name: str, md5: str) -> RemoteFile:
    return RemoteFile(f"https://zenodo.org/records/10519652/files/{name}?download=1", name, md5=md5)


SOURCE = Source(
    name="bloodmnist",
    title="BloodMNIST",
    content="17,092 single cells, 28 x 28 px (also 64, 128, 224), 8 classes, split 11,959 / 1,712 / 3,421",
    homepage="https://medmnist.com",
    licence="CC BY 4.0",
    is_licence_verified=True,
    citation="Yang J, Shi R, Wei D, et al. MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical "
    "image classification. Scientific Data 10:41 (2023); Acevedo et al. 2020",
    patients="none",
    taxonomies=("white_cells",),
    layout=_LAYOUT,
    list_images=list_images,
    files=(_file("bloodmnist.npz", "7053d0359d879ad8a5505303e11de1dc"),),
    extra_files=(
        _file("bloodmnist_64.npz", "2b94928a2ae4916078ca51e05b6b800b"),
        _file("bloodmnist_128.npz", "adace1e0ed228fccda1f39692059dd4c"),
        _file("bloodmnist_224.npz", "b718ff6835fcbdb22ba9eacccd7b2601"),
    ),
    caution="The split is random over images; the 17 duplicates of Acevedo et al. are inside.",
)
