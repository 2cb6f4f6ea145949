"""Manifests: columns are found or named, files are looked for where they may be, and never outside the root."""

import pandas as pd
import pytest

from trilineage.core.errors import ColumnError, FormatError
from trilineage.data.images.manifest import read_frame, read_manifest
from trilineage.data.images.settings import ImageDataSettings

PLAIN = ImageDataSettings()


def rewritten(manifest, **columns):
    """Write the manifest again with some columns changed."""
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    for name, values in columns.items():
        frame[name] = values
    frame.to_csv(manifest, index=False)
    return manifest


def test_columns_are_guessed_and_the_guesses_reported(manifest):
    listing = read_manifest(manifest, PLAIN)
    assert listing.labels[:2].tolist() == ["lymphocyte", "blast"]
    assert listing.patients[:3].tolist() == ["P0", "P0", "P1"]
    assert listing.sites[-1] == "Jena"
    assert (
        listing.parts.tolist()
        == ["train"] * 2 + ["valid"] * 2 + ["test"] * 2 + ["unused"] * 2 + ["train"] * 2
    )
    assert "column 'patient_id' is taken as the patient" in listing.notes


def test_any_level_can_be_the_label_and_all_columns_stay(manifest):
    listing = read_manifest(manifest, ImageDataSettings(label_column="subclass"))
    assert listing.labels[3] == "kind 3"
    assert listing.columns["class"][3] == "blast"


def test_a_column_that_is_not_there_is_answered_with_those_that_are(manifest):
    with pytest.raises(
        ColumnError, match="no patient column 'donor'.*allowed: file, class, subclass, patient_id"
    ):
        read_manifest(manifest, ImageDataSettings(patient_column="donor"))


def test_a_table_without_files_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ColumnError, match="no column that names image files"):
        read_manifest(tmp_path / "t.csv", PLAIN)


@pytest.mark.parametrize("outside", ["../secret.png", "/etc/passwd", "blast/../../x.png", "..\\x.png"])
def test_a_path_outside_the_root_is_refused(manifest, outside):
    names = pd.read_csv(manifest)["file"].tolist()
    rewritten(manifest, file=[*names[:9], outside])
    with pytest.raises(FormatError, match="outside its folder"):
        read_manifest(manifest, PLAIN)


def test_a_path_that_no_file_can_have_is_refused(tmp_path):
    frame = pd.DataFrame({"path": ["a\0b.png"]})
    with pytest.raises(FormatError, match="outside its folder"):
        read_frame(frame, PLAIN, root=tmp_path, where="a table")


def test_files_are_found_where_the_last_folder_is_the_same(manifest):
    names = pd.read_csv(manifest)["file"]
    rewritten(manifest, file="published_set/" + names)
    assert read_manifest(manifest, PLAIN).names[1] == "blast/1.png"


def test_an_absolute_path_below_the_root_is_welcome(manifest):
    names = pd.read_csv(manifest)["file"]
    rewritten(manifest, file=[str(manifest.parent / name) for name in names])
    assert read_manifest(manifest, PLAIN).names[0] == "lymphocyte/0.png"


def test_duplicated_rows_are_listed(manifest):
    frame = pd.read_csv(manifest)
    pd.concat([frame, frame.iloc[[2, 4]]]).to_csv(manifest, index=False)
    with pytest.raises(ColumnError, match="more than once; seen: 2: lymphocyte/2.png, lymphocyte/4.png"):
        read_manifest(manifest, PLAIN)


def test_two_rows_that_lead_to_one_file_are_duplicates(manifest):
    names = pd.read_csv(manifest)["file"].tolist()
    rewritten(manifest, file=[*names[:9], "./lymphocyte/0.png"])
    with pytest.raises(ColumnError, match="more than once"):
        read_manifest(manifest, PLAIN)


@pytest.mark.parametrize("cut", ["name", "stem"])
def test_files_are_found_by_their_names_alone(manifest, cut):
    names = pd.read_csv(manifest)["file"].str.rpartition("/")[2]
    rewritten(manifest, file=names if cut == "name" else names.str.removesuffix(".png"))
    assert read_manifest(manifest, PLAIN).names[1] == "blast/1.png"


def test_a_name_that_could_be_several_files_is_refused(manifest, cell, write):
    write(manifest.parent / "masks" / "3.png", cell(3))
    rewritten(manifest, file=[f"{number}.png" for number in range(10)], **{"class": "x"})
    with pytest.raises(FormatError, match="'3.png' could be several files"):
        read_manifest(manifest, PLAIN)


def test_files_are_found_in_the_folder_of_their_class(manifest, cell, write):
    write(manifest.parent / "images" / "blast" / "new.png", cell(3))
    write(manifest.parent / "images" / "other" / "new.png", cell(3))
    names = pd.read_csv(manifest)["file"].tolist()
    rewritten(manifest, file=[*names[:9], "new.png"])
    assert read_manifest(manifest, PLAIN).names[-1] == "images/blast/new.png"


def test_rows_without_a_file_are_left_out_and_counted(manifest):
    names = pd.read_csv(manifest)["file"].tolist()
    rewritten(manifest, file=[*names[:7], "gone/a.png", "gone/b.png", "gone/c.png"])
    listing = read_manifest(manifest, PLAIN)
    assert len(listing) == 7
    assert listing.notes[0].startswith("3 of 10 rows")


def test_a_manifest_none_of_whose_files_is_there_is_refused(manifest):
    rewritten(manifest, file=[f"gone/{number}.png" for number in range(10)])
    with pytest.raises(FormatError, match="none of the 10 files"):
        read_manifest(manifest, PLAIN)


def test_words_that_are_no_part_of_a_split_are_refused_only_where_the_column_was_named(manifest):
    rewritten(manifest, split=[f"fold {number}" for number in range(10)])
    assert read_manifest(manifest, PLAIN).parts is None
    with pytest.raises(ColumnError, match="words that mean no part; seen: fold 0"):
        read_manifest(manifest, ImageDataSettings(split_column="split"))


def test_semicolons_and_tabs_separate_too(manifest):
    frame = pd.read_csv(manifest)
    frame.to_csv(manifest.with_name("m.csv"), sep=";", index=False)
    frame.to_csv(manifest.with_name("m.tsv"), sep="\t", index=False)
    for name in ("m.csv", "m.tsv"):
        assert len(read_manifest(manifest.with_name(name), PLAIN)) == 10


@pytest.mark.parametrize("content", [b"", b"file\n", b"\xff\xfe\x00bad", b'file,a\n"x,1\n'])
def test_a_damaged_table_is_refused(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(FormatError):
        read_manifest(tmp_path / "t.csv", PLAIN)


def test_an_absent_manifest_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        read_manifest(tmp_path / "t.csv", PLAIN)
