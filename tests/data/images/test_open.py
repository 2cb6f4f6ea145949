"""The door: what is there is recognised, every image is looked at, and what cannot be read is counted or refused."""

import logging

import numpy as np
import pytest
from PIL import Image

from trilineage.core.errors import ConfigError, FormatError, ImageError, UnknownOptionError
from trilineage.data.cohort import Cohort
from trilineage.data.images.open import open_images
from trilineage.data.images.settings import ImageDataSettings


def opened(path, **options):
    return open_images(ImageDataSettings(path=str(path), size=24, workers=1, **options))


def test_layouts_are_recognised(folder, manifest, tmp_path):
    np.savez(tmp_path / "x.npz", images=np.full((3, 9, 9), 7, np.uint8))
    assert opened(manifest).patients is not None
    assert opened(folder).patients is not None  # by its metadata.csv
    assert opened(folder, format="folder").patients is None
    assert opened(tmp_path / "x.npz").labels.tolist() == ["", "", ""]
    assert len(opened(folder / "blast" / "1.png")) == 1


def test_a_public_data_set_is_opened_by_its_name(tmp_path, cell, write):
    for number, name in enumerate(("basophil/BA_1.jpg", "neutrophil/SNE_2.jpg")):
        write(tmp_path / "PBC_dataset_normal_DIB" / name, cell(number))
    table = opened(tmp_path, format="acevedo")
    assert table.labels.tolist() == ["basophil", "neutrophil"]
    assert table.columns["subclass"].tolist() == ["BA", "SNE"]
    assert table.patients is None


def test_bloodmnist_by_its_name_keeps_its_codes(tmp_path):
    arrays = {
        f"{part}_images": np.full((2, 9, 9, 3), n, np.uint8)
        for n, part in enumerate(("train", "val", "test"))
    }
    arrays |= {f"{part}_labels": np.array([[0], [6]]) for part in ("train", "val", "test")}
    np.savez(tmp_path / "bloodmnist.npz", **arrays)
    table = opened(tmp_path, format="bloodmnist")
    assert table.labels.tolist() == ["0", "6"] * 3
    assert np.unique(table.parts).tolist() == ["test", "train", "valid"]


def test_an_unknown_format_is_answered_with_the_known(folder):
    with pytest.raises(UnknownOptionError, match="Perhaps 'acevedo' was meant"):
        opened(folder, format="acevdo")


@pytest.mark.parametrize("name", ["nowhere", "notes.docx"])
def test_what_is_no_source_of_images_is_refused(tmp_path, name):
    (tmp_path / "notes.docx").write_text("x")
    with pytest.raises(FormatError, match="no such file|unknown kind"):
        opened(tmp_path / name)


def test_no_path_is_an_error_of_the_options():
    with pytest.raises(ConfigError, match="no images given"):
        open_images(ImageDataSettings())


def test_a_folder_asked_for_as_a_manifest_needs_one(tmp_path):
    with pytest.raises(FormatError, match="has no table of images"):
        opened(tmp_path, format="manifest")


@pytest.fixture
def spoilt(folder):
    """Return the folder with an empty file, a text, an image cut short, and one of too many pixels."""
    whole = (folder / "blast" / "1.png").read_bytes()
    (folder / "blast" / "empty.png").write_bytes(b"")
    (folder / "blast" / "text.jpg").write_text("no image")
    (folder / "blast" / "cut.png").write_bytes(whole[: len(whole) * 2 // 3])
    Image.new("1", (2000, 1500)).save(folder / "blast" / "vast.png")
    return folder


def test_unreadable_images_are_left_out_and_listed_with_the_reason(spoilt, caplog):
    with caplog.at_level(logging.WARNING):
        table = opened(spoilt, max_pixels=1_000_000)
    reasons = {name.partition("/")[2]: why for name, why in table.unreadable}
    assert len(table) == 10
    assert reasons["empty.png"].startswith("the file is empty")
    assert reasons["text.jpg"].startswith("not an image")
    assert reasons["cut.png"].startswith("damaged or cut short")
    assert reasons["vast.png"].startswith("too many pixels (2000 x 1500")
    assert "4 unreadable images are left out" in caplog.text


def test_unreadable_images_are_refused_where_that_is_asked_for(spoilt):
    with pytest.raises(ImageError, match="4 of 14: blast/cut.png: damaged.*on_unreadable=skip"):
        opened(spoilt, max_pixels=1_000_000, on_unreadable="refuse")


def test_a_source_without_one_readable_image_is_refused(tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(ImageError, match="no image can be read; seen: 1 of 1"):
        opened(tmp_path)


def test_a_look_at_headers_alone_is_quicker_and_sees_less(spoilt):
    assert len(opened(spoilt, verify="header").unreadable) == 2


def test_images_smaller_than_the_least_size_are_refused(folder):
    with pytest.raises(ImageError, match="too small.*10: .*the first has 32 x 32.*at least 40 pixels"):
        opened(folder, min_size=40)


def test_a_table_becomes_a_cohort(manifest):
    columns = opened(manifest).cohort_columns()
    cohort = Cohort.from_table(columns, label="label", patient="patient", site="site", content="content")
    assert cohort.classes == ("blast", "lymphocyte")
    assert len(cohort.patient_names) == 5


def test_a_copied_file_has_the_content_of_its_original(folder):
    copy = folder / "lymphocyte" / "copy.png"
    copy.write_bytes((folder / "blast" / "1.png").read_bytes())
    table = opened(folder)
    _, counts = np.unique(table.content, return_counts=True)
    assert sorted(counts.tolist())[-1] == 2


@pytest.fixture(scope="module")
def pbc(real_data):
    return real_data / "images" / "pbc_barcelona"


@pytest.mark.parametrize("label", ["class", "subclass"])
def test_pbc_opens_by_its_metadata(pbc, label):
    table = opened(pbc, label_column=label, limit_per_class=3, keep=("acquisition_group=A",), verify="header")
    assert len(np.unique(table.labels)) == (8 if label == "class" else 11)
    assert table.sites.tolist() == ["A"] * len(table)
    assert set(table.parts.tolist()) <= {"train", "valid", "test"}
    assert (table.sizes == (360, 363)).all()


def test_of_the_longer_pbc_table_only_the_images_that_are_there_count(pbc):
    settings = ImageDataSettings(
        path=str(pbc / "metadata_all.csv"), limit_per_class=2, verify="header", workers=1
    )
    table = open_images(settings)
    assert "14,434 of 17,074 rows of metadata_all.csv name files that are not there" in table.notes
    assert len(table) == 16


def test_all_of_pbc_opens_from_one_array(pbc):
    table = open_images(
        ImageDataSettings(path=str(pbc / "pbc_all_28.npz"), size=28, site_column="acquisition_b")
    )
    assert len(table) == 17_074
    assert np.unique(table.parts, return_counts=True)[1].tolist() == [5134, 10232, 1708]
    assert len(np.unique(table.labels)) == 8
    assert table.read_sized(5).shape == (28, 28, 3)
