"""Arrays of images: MedMNIST's layout, one table, grey or in colour; damaged or inflated files are refused."""

import zipfile

import numpy as np
import pytest

from trilineage.core.errors import FormatError
from trilineage.data.images.arrays import read_arrays
from trilineage.data.images.settings import ImageDataSettings

PLAIN = ImageDataSettings()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 10, 12, 3), dtype=np.uint8)


def test_medmnist_has_a_split_and_codes(tmp_path, images):
    path = tmp_path / "some.npz"
    codes = np.array([[0], [1], [1]])
    np.savez(path, train_images=images[:3], train_labels=codes, test_images=images[3:], test_labels=codes)
    listing = read_arrays(path, PLAIN)
    assert listing.labels.tolist() == ["0", "1", "1"] * 2
    assert listing.parts.tolist() == ["train"] * 3 + ["test"] * 3
    assert np.array_equal(listing.pixels, images)
    assert listing.names[3] == "test/000000"


def test_bloodmnist_has_names_unless_its_codes_are_wanted(tmp_path, images):
    path = tmp_path / "bloodmnist_64.npz"
    np.savez(path, train_images=images, train_labels=np.arange(6))
    assert read_arrays(path, PLAIN).labels[3] == "ig"
    assert read_arrays(path, PLAIN, codes_as_published=True).labels[3] == "3"


@pytest.mark.parametrize("axes", [3, 4])
def test_grey_images_become_coloured(tmp_path, images, axes):
    grey = images[..., :1] if axes == 4 else images[..., 0]
    np.savez(tmp_path / "g.npz", images=grey, labels=np.arange(6))
    assert np.array_equal(read_arrays(tmp_path / "g.npz", PLAIN).pixels[..., 2], images[..., 0])


def test_one_table_has_names_for_its_codes_and_keeps_its_columns(tmp_path, images):
    np.savez(
        tmp_path / "t.npz",
        images=images,
        labels=np.array([0, 0, 1, 1, 1, 0]),
        class_names=np.array(["blast", "other"]),
        split=np.array([0, 0, 1, 2, 2, 2]),
        split_names=np.array(["train", "val", "test"]),
        files=np.array([f"{n}.jpg" for n in range(6)]),
        batch=np.array([True, False] * 3),
    )
    listing = read_arrays(tmp_path / "t.npz", ImageDataSettings(site_column="batch"))
    assert listing.labels[2] == "other"
    assert listing.parts.tolist() == ["train", "train", "valid", "test", "test", "test"]
    assert listing.names[5] == "5.jpg"
    assert listing.sites[:2].tolist() == ["True", "False"]


@pytest.mark.parametrize(
    "arrays",
    [
        {"pictures": np.zeros((2, 4, 4), np.uint8)},
        {"images": np.zeros((2, 4, 4, 3), np.float32)},
        {"images": np.zeros((2, 4, 4, 5), np.uint8)},
        {"images": np.zeros((0, 4, 4, 3), np.uint8)},
        {"images": np.zeros((2, 4, 4), np.uint8), "labels": np.array([0, 7]), "class_names": np.array(["a"])},
        {"images": np.array([{}, {}])},
        {"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.zeros((2, 14))},
        {"train_images": np.zeros((2, 4, 4), np.uint8), "val_images": np.zeros((2, 5, 5), np.uint8)},
    ],
    ids=["no images", "floats", "channels", "none", "codes", "objects", "many labels", "sizes"],
)
def test_arrays_of_other_kinds_are_refused(tmp_path, arrays):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(FormatError):
        read_arrays(tmp_path / "x.npz", PLAIN)


def test_a_damaged_archive_is_refused(tmp_path, images):
    np.savez(tmp_path / "x.npz", images=images)
    data = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="cannot read x.npz"):
        read_arrays(tmp_path / "x.npz", PLAIN)


def test_an_archive_that_claims_too_much_is_refused_unread(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w") as out,
    ):
        for _ in range(210):
            out.write(bytes(1_000_000))
    with pytest.raises(FormatError, match="more than photographs can unpack to"):
        read_arrays(tmp_path / "x.npz", PLAIN)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        read_arrays(tmp_path / "x.npz", PLAIN)
