"""ALL-IDB (Milan): 108 fields and 260 crops of blood with and without lymphoblasts; the name holds the label."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from trilineage.data.sources.source import Source
from trilineage.data.sources.walking import images_below, table

_NAME = re.compile(r"^Im(?P<number>\d+)_(?P<label>[01])$", re.IGNORECASE)
_VERSION = re.compile(r"ALL[_-]?IDB[_-]?(?P<version>[12])", re.IGNORECASE)
_LAYOUT = "Im<number>_<0 or 1>.jpg or .tif, in folders ALL_IDB1 and ALL_IDB2; 1 is a blast"


def list_images(root: Path) -> pd.DataFrame:
    """List the images: label from the last digit of the name, `version` (1 fields, 2 crops) from the folder."""
    return table(_rows(root), root, _LAYOUT)


def _rows(root: Path) -> Iterator[dict[str, str]]:
    for path in images_below(root):
        name = _NAME.match(path.stem)
        if name:
            version = _VERSION.search(str(root.absolute() / path.parent))
            yield {
                "path": path.as_posix(),
                "label": name["label"],
                "version": version["version"] if version else "",
            }


SOURCE = Source(
    name="all_idb",
    title="ALL-IDB 1 and 2",
    content="108 fields (2592 x 1944 px) and 260 crops (257 x 257 px), lymphoblasts or not",
    homepage="https://homes.di.unimi.it/scotti/all",
    licence="free for research, on request",
    is_licence_verified=False,
    citation="Donida Labati R, Piuri V, Scotti F. ALL-IDB: the acute lymphoblastic leukemia image database for image "
    "processing. ICIP 2011, 2045-2048",
    patients="none",
    taxonomies=("leukemia", "white_cells"),
    layout=_LAYOUT,
    list_images=list_images,
    how_to_get="Ask the authors for access through the form on the homepage.",
    caution="Crops of version 2 come from fields of version 1: never train on one and test on the other.",
)
