"""C-NMC 2019: 15,114 segmented cells, B-lymphoblasts and normal precursors; the file name holds the subject."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from trilineage.data.sources.source import Source
from trilineage.data.sources.walking import find_file, images_below, read_csv, table

_NAME = re.compile(r"^UID_(?P<subject>H?\d+)_(?P<image>\d+)_(?P<cell>\d+)_(?P<label>all|hem)$", re.IGNORECASE)
_PRELIMINARY_TABLE = "C-NMC_test_prelim_phase_data_labels.csv"
_LAYOUT = "C-NMC_training_data/fold_<k>/{all,hem}/UID_<subject>_<image>_<cell>_<all or hem>.bmp"


def list_images(root: Path) -> pd.DataFrame:
    """List the images: subject and label from the name, in either case, however deep the fold folders are nested.

    Names `UID_H10_...` and `UID_h10_...` are of one healthy subject, H10. The preliminary test part takes its names
    from its table (Patient_ID, new_names, labels) and is `valid`; the final one has no labels and is `test`.
    """
    return table([*_named_rows(root), *_numbered_rows(root)], root, _LAYOUT)


def _named_rows(root: Path) -> Iterator[dict[str, str]]:
    for path in images_below(root):
        row = _row_of_name(path.stem)
        if row:
            folds = [part for part in path.parts if re.fullmatch(r"fold_\d+", part, re.IGNORECASE)]
            yield {
                "path": path.as_posix(),
                "split": "train",
                "fold": folds[-1].lower() if folds else "",
            } | row


def _numbered_rows(root: Path) -> Iterator[dict[str, str]]:
    """Give the images of the two test parts, which are called 1.bmp, 2.bmp, ..."""
    names = _preliminary_names(root)
    for path in images_below(root):
        folder = path.as_posix().lower()
        if not path.stem.isdigit():
            continue
        if "test_final_phase" in folder:
            yield {"path": path.as_posix(), "split": "test"}
        elif names and ("test_prelim_phase" in folder or "validation_data" in folder):
            yield {"path": path.as_posix(), "split": "valid"} | names.get(path.name.lower(), {})


def _preliminary_names(root: Path) -> dict[str, dict[str, str]]:
    """Return what the table of the preliminary part says of each of its files."""
    path = find_file(root, _PRELIMINARY_TABLE)
    if path is None:
        return {}
    frame = read_csv(path, ["Patient_ID", "new_names", "labels"])
    words = {"1": "all", "0": "hem"}
    return {
        new.lower(): _row_of_name(Path(old).stem) | {"label": words.get(label, "")}
        for old, new, label in zip(frame["Patient_ID"], frame["new_names"], frame["labels"], strict=True)
    }


def _row_of_name(stem: str) -> dict[str, str]:
    """Read a name; {} if it is not of this data set.

    Examples
    --------
    >>> _row_of_name("UID_h7_12_3_HEM")
    {'label': 'hem', 'patient': 'H7', 'image': '12', 'cell': '3'}
    """
    name = _NAME.match(stem)
    if not name:
        return {}
    return {
        "label": name["label"].lower(),
        "patient": name["subject"].upper(),
        "image": name["image"],
        "cell": name["cell"],
    }


SOURCE = Source(
    name="c_nmc",
    title="C-NMC 2019 (ALL challenge, ISBI 2019)",
    content="10,661 training, 1,867 preliminary and 2,586 final test cells of 118 subjects, 450 x 450 px",
    homepage="https://www.cancerimagingarchive.net/collection/c-nmc-2019/",
    licence="CC BY 3.0",
    is_licence_verified=False,
    citation="Gupta A, Gupta R. ALL challenge dataset of ISBI 2019. The Cancer Imaging Archive, "
    "doi:10.7937/tcia.2019.dc64i46r",
    patients="named",
    taxonomies=("white_cells", "leukemia"),
    layout=_LAYOUT,
    list_images=list_images,
    how_to_get="Download with IBM Aspera Connect from the homepage and unpack.",
    caution="Many images of a subject look alike: a split over images instead of subjects adds about .04 to the AUROC.",
)
