"""Folders of images: the class is the folder, a split may lie above it, deeper folders mean nothing."""

import pytest

from trilineage.core.errors import FormatError
from trilineage.data.images.folder import read_folder


def test_the_folder_of_an_image_is_its_label(folder):
    listing = read_folder(folder)
    assert len(listing) == 10
    assert listing.names[0] == "blast/1.png"
    assert set(listing.labels) == {"blast", "lymphocyte"}
    assert listing.parts is None


def test_folders_named_like_a_split_are_its_parts(tmp_path, cell, write):
    for part in ("train", "val"):
        write(tmp_path / part / "blast" / "1.png", cell(1))
    listing = read_folder(tmp_path)
    assert listing.labels.tolist() == ["blast", "blast"]
    assert listing.parts.tolist() == ["train", "valid"]


def test_deeper_folders_only_hold_files_together(tmp_path, cell, write):
    write(tmp_path / "BLA" / "0001-1000" / "1.tiff", cell(1))
    assert read_folder(tmp_path).labels.tolist() == ["BLA"]


def test_images_outside_a_class_folder_have_no_label(folder, cell, write):
    write(folder / "loose.png", cell(1))
    listing = read_folder(folder)
    assert (listing.labels == "").sum() == 1
    assert "1 images lie in no class folder" in listing.notes[0]


def test_hidden_files_and_what_macos_leaves_are_no_images(folder, cell, write):
    write(folder / "blast" / ".hidden.png", cell(1))
    write(folder / "__MACOSX" / "blast" / "x.png", cell(1))
    assert len(read_folder(folder)) == 10


def test_one_image_is_a_source_too(folder):
    assert read_folder(folder / "blast" / "1.png").names.tolist() == ["1.png"]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FormatError, match="holds no images; seen: an empty folder"):
        read_folder(tmp_path)


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(FormatError, match="1 files of other kinds"):
        read_folder(tmp_path)


def test_an_absent_folder_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no such folder"):
        read_folder(tmp_path / "nowhere")
