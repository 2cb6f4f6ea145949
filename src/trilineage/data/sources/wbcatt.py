"""WBCAtt: eleven morphological attributes of 10,298 cells of Acevedo et al., with an official split."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from trilineage.core.errors import FormatError
from trilineage.data.download import RemoteFile
from trilineage.data.sources.source import Source
from trilineage.data.sources.walking import find_file, images_below, read_csv, table

PARTS = {"train": "train", "val": "valid", "test": "test"}
ATTRIBUTES = (
    "cell_size",
    "cell_shape",
    "nucleus_shape",
    "nuclear_cytoplasmic_ratio",
    "chromatin_density",
    "cytoplasm_vacuole",
    "cytoplasm_texture",
    "cytoplasm_colour",
    "granule_type",
    "granule_colour",
    "granularity",
)
_COMMIT = "3121eea24a0977184bbedcb61b90f7a528f7b4e9"
_LAYOUT = (
    "pbc_attr_v1_{train,val,test}.csv (img_name, label, 11 attributes, path) and the images of Acevedo et al."
)


def list_images(root: Path) -> pd.DataFrame:
    """List the images that have attributes; each is looked for at its `path`, then anywhere below by its name.

    Raises
    ------
    FormatError
        If the tables or the images are not there.
    """
    places = {path.name: path.as_posix() for path in images_below(root)}
    return table(_rows(root, places), root, _LAYOUT)


def _rows(root: Path, places: dict[str, str]) -> Iterator[dict[str, str]]:
    for part, split in PARTS.items():
        path = find_file(root, f"pbc_attr_v1_{part}.csv")
        if path is None:
            raise FormatError(
                f"no pbc_attr_v1_{part}.csv",
                seen=root,
                allowed=_LAYOUT,
                remedy="fetch it: trilineage data get wbcatt",
            )
        frame = read_csv(path, ["img_name", "label", *ATTRIBUTES])
        for row in frame.to_dict("records"):
            name = PurePosixPath(row["img_name"]).name
            if name in places:
                yield {"path": places[name], "label": row["label"], "split": split} | {
                    attribute: row[attribute] for attribute in ATTRIBUTES
                }


def _table_file(part: str) -> RemoteFile:
    name = f"pbc_attr_v1_{part}.csv"
    return RemoteFile(f"https://raw.githubusercontent.com/apple2373/wbcatt/{_COMMIT}/submission/{name}", name)


SOURCE = Source(
    name="wbcatt",
    title="WBCAtt",
    content="11 attributes of 10,298 cells of Acevedo-20, five classes",
    homepage="https://github.com/apple2373/wbcatt",
    licence="MIT (the table; the images are Acevedo-20)",
    is_licence_verified=True,
    citation="Tsutsui S, Pang W, Wen B. WBCAtt: a white blood cell dataset annotated with detailed morphological "
    "attributes. NeurIPS 2023 Datasets and Benchmarks",
    patients="none",
    taxonomies=("white_cells",),
    layout=_LAYOUT,
    list_images=list_images,
    files=tuple(_table_file(part) for part in PARTS),
    how_to_get="The images are those of acevedo: put them into the same folder (`data get acevedo --to FOLDER`).",
    caution="The official split was drawn over images of a set without patients.",
)
