"""Matek et al. 2019 (LMU): 18,365 cells of blood, with and without AML, in 15 classes."""

from pathlib import Path

import pandas as pd

from trilineage.data.sources.source import Source
from trilineage.data.sources.walking import class_folder_rows, table

CLASSES = tuple("BAS EBO EOS KSC LYA LYT MMZ MOB MON MYB MYO NGB NGS PMB PMO".split())  # noqa: SIM905
_LAYOUT = "<CODE>/<CODE>_0001.tiff"


def list_images(root: Path) -> pd.DataFrame:
    """List the images: class from the folder of three letters."""
    return table(class_folder_rows(root, CLASSES), root, _LAYOUT)


SOURCE = Source(
    name="lmu",
    title="LMU (AML-Cytomorphology_LMU, Matek-19)",
    content="18,365 single cells of 100 patients with AML and 100 without, 400 x 400 px, 15 classes",
    homepage="https://www.cancerimagingarchive.net/collection/aml-cytomorphology_lmu/",
    licence="CC BY 3.0",
    is_licence_verified=False,
    citation="Matek C, Schwarz S, Spiekermann K, Marr C. Human-level recognition of blast cells in acute myeloid "
    "leukaemia with convolutional neural networks. Nature Machine Intelligence 1:538-544 (2019); data: The Cancer "
    "Imaging Archive, doi:10.7937/tcia.2019.36f5o9ld",
    patients="hidden",
    taxonomies=("white_cells",),
    layout=_LAYOUT,
    list_images=list_images,
    how_to_get="Download with IBM Aspera Connect from the homepage (11 GB) and unpack.",
    caution="200 patients, but no image says whose it is; the smallest class has 11 images.",
)
