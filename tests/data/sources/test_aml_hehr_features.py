"""Features of patients in HDF5 files: read as they are shared, and refused where they are not."""

import h5py
import numpy as np
import pytest

from trilineage.core.errors import CohortError, FormatError, MatrixError
from trilineage.core.seeding import generator
from trilineage.data.sources.aml_hehr_features import read_features, read_patient

WIDTH = 8


def write(path, n=5, *, labels=1, width=WIDTH, dtype="f4"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["features"] = generator(n, path.stem).normal(size=(n, width)).astype(dtype)
        if labels is not None:
            file["labels"] = labels
    return path


def test_patients_are_read_in_the_order_of_their_names(tmp_path):
    write(tmp_path / "b.h5", 2, labels=np.full(2, 4))
    first = write(tmp_path / "deep" / "a.h5", 3, labels=1)
    bags = read_features(tmp_path, width=WIDTH)
    assert (bags.names.tolist(), bags.labels.tolist()) == (["a", "b"], ["NPM1", "control"])
    assert bags.patients.tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_array_equal(bags.features[:3], h5py.File(first)["features"][:])


def test_labels_may_be_texts_or_the_name_of_the_folder(tmp_path):
    write(tmp_path / "PML_RARA" / "a.h5", labels=None)
    write(tmp_path / "b.h5", labels="NPM1")
    write(tmp_path / "somewhere" / "c.h5", labels=None)
    assert read_features(tmp_path, width=WIDTH).labels.tolist() == ["PML_RARA", "NPM1", ""]


def test_features_of_another_width_are_refused(tmp_path):
    with pytest.raises(FormatError, match=r"another shape; seen: float32 \(5, 8\); allowed: \(image, 768\)"):
        read_patient(write(tmp_path / "a.h5"))


def test_the_first_file_decides_the_width_where_none_is_given(tmp_path):
    write(tmp_path / "a.h5")
    write(tmp_path / "b.h5", width=9)
    with pytest.raises(FormatError, match=r"b.h5 holds features of another shape"):
        read_features(tmp_path, width=None)


def test_features_that_are_no_numbers_are_named_by_their_row(tmp_path):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["features"][3, 1] = np.nan
    with pytest.raises(MatrixError, match="row 3"):
        read_patient(path, width=WIDTH)


def test_a_patient_without_cells_is_refused(tmp_path):
    with pytest.raises(CohortError, match="patient of a.h5 has no cells"):
        read_patient(write(tmp_path / "a.h5", 0), width=WIDTH)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1, 1, 1, 1, 2], "do not carry one label"), ([1, 1], "2 labels for 5 images"), (7, "has no name")],
)
def test_labels_that_say_nothing_certain_are_refused(tmp_path, labels, message):
    with pytest.raises(CohortError, match=message):
        read_patient(write(tmp_path / "a.h5", labels=labels), width=WIDTH)


def test_a_patient_with_two_files_is_refused(tmp_path):
    write(tmp_path / "NPM1" / "a.h5")
    write(tmp_path / "control" / "a.h5")
    with pytest.raises(CohortError, match="several files; seen: a"):
        read_features(tmp_path, width=WIDTH)


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no features of patients"):
        read_features(tmp_path)


@pytest.mark.parametrize("content", [b"\x80\x04\x95", b"PK\x03\x04", b"x" * 100])
def test_what_is_no_hdf5_is_refused(tmp_path, content):
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(FormatError, match="not an HDF5 file"):
        read_features(tmp_path)


def test_a_file_that_claims_more_than_it_holds_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("features", (10**7, 768), "f4", chunks=(1000, 768), compression="gzip")
    with pytest.raises(FormatError, match="claims more data"):
        read_features(tmp_path)


def test_a_truncated_file_is_refused(tmp_path):
    path = write(tmp_path / "a.h5", 500)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(FormatError, match="truncated"):
        read_features(tmp_path, width=WIDTH)
