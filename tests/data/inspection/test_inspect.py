"""Whole inspections: of small made folders, and of the Barcelona images with their duplicates put back."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trilineage.core.errors import ConfigError, FormatError
from trilineage.data.inspection.inspect import inspect_images
from trilineage.data.inspection.settings import InspectionSettings


def kinds(inspection) -> list[tuple[str, str]]:
    return [(finding.kind, finding.weight) for finding in inspection.findings]


@pytest.fixture
def clean(laid, cell):
    """Two classes by three patients at one site, in a table."""
    pictures = {f"cells/{n}.png": cell(n) for n in range(12)}
    folder = laid(pictures)
    rows = [
        (name, "ab"[n % 2], f"p{n // 4}", ["train", "valid", "test"][n // 4])
        for n, name in enumerate(pictures)
    ]
    pd.DataFrame(rows, columns=["path", "label", "patient", "split"]).to_csv(
        folder / "manifest.csv", index=False
    )
    return folder


def test_a_clean_set_has_nothing_to_mend(clean, inspected):
    inspection = inspected(clean)
    assert inspection.findings == ()
    assert (inspection.n_images, inspection.n_patients) == (12, 3)
    assert inspection.labels == {"a": 6, "b": 6}
    assert inspection.parts == {"test": 4, "train": 4, "valid": 4}
    assert inspection.sizes == {"96 x 96": 12}


def test_everything_that_is_wrong_is_found_at_once(laid, cell, inspected):
    peach = {f"a/{n}.png": cell(n) for n in range(12)}
    lavender = {f"b/{n}.png": cell(n, background=(229, 221, 229)) for n in range(20, 30)}
    folder = laid(peach | lavender | {"b/again.png": cell(2), "b/turned.png": np.rot90(cell(3))})
    (folder / "a" / "broken.png").write_bytes(b"\x89PNG")
    inspection = inspected(folder)
    assert kinds(inspection) == [
        ("unreadable", "problem"),
        ("duplicate", "problem"),
        ("near_duplicate", "problem"),
        ("conflicting_labels", "problem"),
        ("conflicting_labels", "problem"),
        ("patients", "warning"),
        ("acquisition", "warning"),
        ("confounding", "warning"),
        ("confounding", "warning"),
    ]
    assert inspection.n_problems == 5
    assert inspection.duplicates[0].names == ("a/2.png", "b/again.png")
    assert inspection.near_duplicates[0].is_turned
    assert [group.n_images for group in inspection.groups] == [14, 10]
    assert inspection.group_of["b/25.png"] == "B"


def test_the_record_is_ready_for_json(clean, inspected):
    record = json.loads(json.dumps(inspected(clean).to_dict()))
    assert (record["kind"], record["version"], record["n_images"]) == ("trilineage inspection", 1, 12)


def test_a_source_that_is_not_there_is_refused(tmp_path, inspected):
    with pytest.raises(FormatError, match="no such file"):
        inspected(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no images given"):
        inspect_images(InspectionSettings())


# ---- the Barcelona images -------------------------------------------------------------------------------------------


def pbc_with_duplicates(real_data: Path, folder: Path, n_per_class: int) -> tuple[Path, list[dict[str, str]]]:
    """Lay out some Barcelona images and put the 17 duplicates back as hard copies of what each is a copy of.

    The copy is shown by the original where `pbc_barcelona` has it, by its 144-pixel version where only `pbc_144` has
    it, and, for the four pairs that neither has, by another image of the right class (a stand-in): what is tested is
    that equal bytes are found, which does not depend on what they show.
    """
    images, small = real_data / "images" / "pbc_barcelona", real_data / "images" / "pbc_144" / "images"
    metadata = pd.read_csv(images / "metadata.csv")
    pairs = pd.read_csv(images / "duplicates_removed.csv").to_dict("records")
    spare = [str(path) for path in sorted(small.glob("platelet/*.jpg"))]
    is_kept = metadata.groupby(["class", "acquisition_group"]).cumcount() < n_per_class
    for row in metadata[is_kept].itertuples():
        link(images / "images" / row[2] / row.file, folder / row[2] / row.file)
    for pair in pairs:
        label = "neutrophil" if pair["dup_of"].startswith("BNE") else pair["cls"]
        shown = [
            images / "images" / label / pair["dup_of"],
            small / label / pair["dup_of"],
            Path(spare.pop()),
        ]
        source = next(path for path in shown if path.is_file())
        link(source, folder / label / pair["dup_of"])
        link(source, folder / pair["cls"] / pair["file"])
    return folder, pairs


def link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        target.symlink_to(source)


def test_the_17_duplicates_of_the_barcelona_set_the_conflict_and_group_b_are_found(
    real_data, tmp_path, inspected
):
    folder, pairs = pbc_with_duplicates(real_data, tmp_path / "pbc", n_per_class=40)
    inspection = inspected(folder, **{"data.format": "folder"})
    found = [{Path(name).name for name in group.names} for group in inspection.duplicates]
    assert len(pairs) == len(found) == 17
    assert all({pair["file"], pair["dup_of"]} in found for pair in pairs)
    conflicts = [group.labels for group in inspection.duplicates if group.is_conflicting]
    assert conflicts == [("eosinophil", "neutrophil")]
    metadata = pd.read_csv(real_data / "images" / "pbc_barcelona" / "metadata.csv").set_index("file")
    told = {Path(name).name: letter for name, letter in inspection.group_of.items()}
    known = [name for name in told if name in metadata.index and told[name] != "odd"]
    assert [told[name] for name in known] == metadata.loc[known, "acquisition_group"].tolist()
    assert len(known) > 500


def test_group_b_is_found_by_colour_where_all_images_have_one_size(real_data, inspected):
    inspection = inspected(
        real_data / "images" / "pbc_barcelona" / "pbc_all_28.npz", **{"data.limit_per_class": 150}
    )
    assert list(inspection.sizes) == ["28 x 28"]
    metadata = pd.read_csv(real_data / "images" / "pbc_barcelona" / "metadata_all.csv").set_index("file")
    told = {Path(name).name: letter for name, letter in inspection.group_of.items() if letter != "odd"}
    assert list(told.values()) == metadata.loc[list(told), "acquisition_group"].tolist()
    assert list(told.values()).count("B") >= 20


def test_the_same_cell_photographed_twice_is_found_and_nothing_else(real_data, inspected):
    inspection = inspected(
        real_data / "images" / "pbc_barcelona",
        **{"data.keep": ("class=monocyte|erythroblast",)},
    )
    pairs = {tuple(Path(name).stem for name in pair.names) for pair in inspection.near_duplicates}
    assert pairs == {
        ("MO_231316", "MO_415531"),
        ("ERB_287222", "ERB_984537"),
    }
    assert [finding.kind for finding in inspection.findings if finding.weight == "problem"] == [
        "near_duplicate",
        "leak",
    ]
