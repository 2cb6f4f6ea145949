"""Acevedo et al. 2020 (PBC): 17,092 cells of healthy blood in eight classes, without patients."""

from pathlib import Path

import pandas as pd

from trilineage.data.download import RemoteFile
from trilineage.data.sources.source import Source
from trilineage.data.sources.walking import class_folder_rows, read_csv, table

CLASSES = ("basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil", "platelet")
_LAYOUT = "PBC_dataset_normal_DIB/<class>/<PREFIX>_<number>.jpg; the prefix is a finer label (SNE, BNE; PMY, MY, MMY)"


def list_images(root: Path) -> pd.DataFrame:
    """List the images: class from the folder, `subclass` from the prefix of the name.

    A `metadata.csv` beside the folders (file, split, acquisition_group), as compact copies have it, adds the split and
    the acquisition group, which stands as the site.
    """
    rows = [
        row | {"subclass": Path(row["path"]).name.split("_")[0]} for row in class_folder_rows(root, CLASSES)
    ]
    frame = table(rows, root, _LAYOUT)
    return _with_metadata(frame, root / "metadata.csv")


def _with_metadata(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    if not path.is_file():
        return frame
    metadata = read_csv(path, ["file"]).drop_duplicates("file").set_index("file")
    names = frame["path"].str.rpartition("/")[2]
    for column, given in (("split", "split"), ("site", "acquisition_group")):
        if given in metadata:
            frame[column] = names.map(metadata[given]).fillna("")
    return frame


SOURCE = Source(
    name="acevedo",
    title="Acevedo-20 (PBC, Barcelona)",
    content="17,092 single cells of healthy blood, 360 x 363 px, 8 classes",
    homepage="https://data.mendeley.com/datasets/snkd93bnjr/1",
    licence="CC BY 4.0",
    is_licence_verified=True,
    citation="Acevedo A, Merino A, Alferez S, Molina A, Boldu L, Rodellar J. A dataset of microscopic peripheral blood "
    "cell images for development of automatic recognition systems. Data in Brief 30:105474 (2020), "
    "doi:10.17632/snkd93bnjr.1",
    patients="none",
    taxonomies=("white_cells",),
    layout=_LAYOUT,
    list_images=list_images,
    files=(
        RemoteFile(
            url="https://data.mendeley.com/public-files/datasets/snkd93bnjr/files/"
            "2fc38728-2ae7-4a62-a857-032af82334c3/file_downloaded",
            name="PBC_dataset_normal_DIB.zip",
            is_archive=True,
        ),
    ),
    caution="17 images are there twice, one pair under two labels (EO_225902 = BNE_191112); 453 images come "
    "from another camera (sizes other than 360 x 363, lavender background).",
)
