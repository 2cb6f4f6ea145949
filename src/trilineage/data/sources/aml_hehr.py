"""Hehr et al. 2023: 81,214 white cells of 189 patients, four genetic subtypes of AML and controls."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from trilineage.core.errors import FormatError
from trilineage.data.sources.source import Source
from trilineage.data.sources.walking import find_file, images_below, read_csv, table

BAGS = ("CBFB_MYH11", "NPM1", "PML_RARA", "RUNX1_RUNX1T1", "control")
_LAYOUT = "metadata.csv (patient_id, bag_label, ...) and data/<bag_label>/<patient_id>/*.TIF"


def list_images(root: Path) -> pd.DataFrame:
    """List the images: bag and patient from the folders; what `metadata.csv` says of a patient stands in every row.

    Raises
    ------
    FormatError
        If the table gives a patient another bag than the folders do.
    """
    frame = table(_rows(root), root, _LAYOUT)
    path = find_file(root, "metadata.csv")
    return frame if path is None else _with_metadata(frame, read_csv(path, ["patient_id", "bag_label"]))


def _rows(root: Path) -> Iterator[dict[str, str]]:
    known = {bag.lower(): bag for bag in BAGS}
    for path in images_below(root):
        if len(path.parts) >= 3 and path.parts[-3].lower() in known:
            yield {"path": path.as_posix(), "label": known[path.parts[-3].lower()], "patient": path.parts[-2]}


def _with_metadata(frame: pd.DataFrame, metadata: pd.DataFrame) -> pd.DataFrame:
    metadata = metadata.drop_duplicates("patient_id").set_index("patient_id")
    told = frame["patient"].map(metadata["bag_label"])
    differs = told.notna() & (told.str.lower() != frame["label"].str.lower())
    if differs.any():
        row = frame[differs].iloc[0]
        raise FormatError(
            "metadata.csv and the folders disagree about a patient",
            seen=f"{row['patient']}: {told[differs].iloc[0]} in the table, {row['label']} in the folders",
            allowed="one bag_label per patient",
            remedy="use the folder as it was published",
        )
    for column in metadata.columns.difference(["bag_label", *frame.columns], sort=False):
        frame[column] = frame["patient"].map(metadata[column]).fillna("")
    return frame


SOURCE = Source(
    name="aml_hehr",
    title="AML-Hehr (AML-Cytomorphology_MLL_Helmholtz)",
    content="81,214 single cells of 189 patients, 144 x 144 px, 5 classes of patients",
    homepage="https://www.cancerimagingarchive.net/collection/aml-cytomorphology_mll_helmholtz/",
    licence="TCIA data usage policy",
    is_licence_verified=False,
    citation="Hehr M, Sadafi A, Matek C, et al. Explainable AI identifies diagnostic cells of genetic AML subtypes. "
    "PLOS Digital Health 2:e0000187 (2023); data: The Cancer Imaging Archive, doi:10.7937/6PPE-4020",
    patients="named",
    taxonomies=("leukemia", "aml_subtypes"),
    layout=_LAYOUT,
    list_images=list_images,
    how_to_get="Download with IBM Aspera Connect from the homepage and unpack.",
    caution="The label is the patient's: most cells of a patient with AML look like anybody's.",
)
