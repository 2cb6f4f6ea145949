"""Taleqani hospital: 3,256 fields of blood, benign or three kinds of ALL, 89 patients whose ids were not released."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from trilineage.data.sources.source import Source
from trilineage.data.sources.walking import class_folder_rows, table

CLASSES = ("Benign", "Early", "Pre", "Pro")
_LAYOUT = "Original/{Benign,Early,Pre,Pro}/*.jpg"


def list_images(root: Path) -> pd.DataFrame:
    """List the original images; the folder `Segmented` holds the same cells again and is left out."""
    return table(_rows(root), root, _LAYOUT)


def _rows(root: Path) -> Iterator[dict[str, str]]:
    for row in class_folder_rows(root, CLASSES):
        if not any(part.lower().startswith("segment") for part in Path(row["path"]).parts):
            yield row


SOURCE = Source(
    name="taleqani",
    title="Taleqani ALL",
    content="3,256 fields of 89 patients, 224 x 224 px, benign (hematogones), early pre-B, pre-B and pro-B ALL",
    homepage="https://www.kaggle.com/datasets/mehradaria/leukemia",
    licence="unknown",
    is_licence_verified=False,
    citation="Ghaderzadeh M, Aria M, Hosseini A, et al. A fast and efficient CNN model for B-ALL diagnosis and its "
    "subtypes classification using peripheral blood smear images. International Journal of Intelligent Systems 37 "
    "(2022) 5113-5133, doi:10.34740/KAGGLE/DSV/2175623",
    patients="hidden",
    taxonomies=("leukemia", "white_cells"),
    layout=_LAYOUT,
    list_images=list_images,
    how_to_get="Download from the homepage (needs an account there) and unpack.",
    caution="About 37 images per patient and no ids: every random split leaks patients; scores near 1.0 mean that.",
)
