"""Matek et al. 2021 (BMC): 171,373 cells of the bone marrow in 21 classes."""

from pathlib import Path

import pandas as pd

from trilineage.data.sources.source import Source
from trilineage.data.sources.walking import class_folder_rows, table

CLASSES = tuple(
    "ABE ART BAS BLA EBO EOS FGC HAC KSC LYI LYT MMZ MON MYB NGB NGS NIF OTH PEB PLM PMO".split()  # noqa: SIM905
)
_LAYOUT = "<CODE>/0001-1000/<CODE>_00001.jpg"


def list_images(root: Path) -> pd.DataFrame:
    """List the images: class from the folder of three letters."""
    return table(class_folder_rows(root, CLASSES), root, _LAYOUT)


SOURCE = Source(
    name="bmc",
    title="BMC (Bone-Marrow-Cytomorphology_MLL_Helmholtz_Fraunhofer, Matek-21)",
    content="171,373 single cells of the marrow of 945 patients, 250 x 250 px, 21 classes",
    homepage="https://www.cancerimagingarchive.net/collection/bone-marrow-cytomorphology_mll_helmholtz_fraunhofer/",
    licence="CC BY 4.0",
    is_licence_verified=True,
    citation="Matek C, Krappe S, Muenzenmayer C, Haferlach T, Marr C. Highly accurate differentiation of bone marrow "
    "cell morphologies using deep neural networks on a large image data set. Blood 138:1917-1927 (2021); data: The "
    "Cancer Imaging Archive, doi:10.7937/TCIA.AXH3-T579",
    patients="hidden",
    taxonomies=("white_cells",),
    layout=_LAYOUT,
    list_images=list_images,
    how_to_get="Download with IBM Aspera Connect from the homepage (6.8 GB) and unpack.",
    caution="Some files cannot be decoded; 945 patients, but no image says whose it is.",
)
