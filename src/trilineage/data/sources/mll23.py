"""MLL23: 41,906 cells of blood in 18 classes."""

from pathlib import Path

import pandas as pd

from trilineage.data.download import RemoteFile
from trilineage.data.sources.source import Source
from trilineage.data.sources.walking import class_folder_rows, table

CLASSES = (
    "basophil",
    "eosinophil",
    "hairy_cell",
    "lymphocyte",
    "lymphocyte_large_granular",
    "lymphocyte_neoplastic",
    "lymphocyte_reactive",
    "metamyelocyte",
    "monocyte",
    "myeloblast",
    "myelocyte",
    "neutrophil_band",
    "neutrophil_segmented",
    "normoblast",
    "plasma_cell",
    "promyelocyte",
    "promyelocyte_atypical",
    "smudge_cell",
)
_LAYOUT = "<class>/*.TIF, one folder for each of 18 classes"


def list_images(root: Path) -> pd.DataFrame:
    """List the images: class from the folder."""
    return table(class_folder_rows(root, CLASSES), root, _LAYOUT)


SOURCE = Source(
    name="mll23",
    title="MLL23",
    content="41,906 single cells, 288 x 288 px, 18 classes",
    homepage="https://zenodo.org/records/14277609",
    licence="open at Zenodo",
    is_licence_verified=False,
    citation="Shetab Boushehri S, Kazeminia S, Gruber A, et al. A large expert-annotated single-cell peripheral blood "
    "dataset for hematological disease diagnostics. Scientific Data 12:1773 (2025), doi:10.1038/s41597-025-06223-x",
    patients="hidden",
    taxonomies=("white_cells",),
    layout=_LAYOUT,
    list_images=list_images,
    files=(
        RemoteFile("https://zenodo.org/api/records/14277609/files-archive", "mll23.zip", is_archive=True),
    ),
    caution="The archive holds one archive per class; it is made on the fly, so that a broken download starts again.",
)
