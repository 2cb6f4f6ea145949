"""Elements of AnnData files: tables of every column type, and tables that contradict themselves."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from trilineage.core.errors import FormatError
from trilineage.data.expression.anndata_file import read_anndata_node, read_frame
from trilineage.data.expression.hdf5 import open_hdf5


def read_obs(path) -> pd.DataFrame:
    with open_hdf5(path) as root:
        return read_frame(root.child("obs"), "obs")


def test_every_column_type_is_read_as_anndata_reads_it(tmp_path):
    obs = pd.DataFrame(
        {
            "text": ["a", "b", "ü"],
            "category": pd.Categorical(["x", None, "y"]),
            "levels": pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"], ordered=True),
            "number": [1.5, np.nan, 3.0],
            "whole": [1, 2, 3],
            "flag": [True, False, True],
            "nullable": pd.array([1, None, 3], dtype="Int64"),
        },
        index=["c1", "c2", "c3"],
    )
    anndata.AnnData(np.ones((3, 2), np.float32), obs=obs).write_h5ad(tmp_path / "x.h5ad")
    read = read_obs(tmp_path / "x.h5ad")
    assert list(read.columns) == list(obs.columns)
    for column in obs.columns:
        assert read[column].isna().tolist() == obs[column].isna().tolist()
        assert read[column].dropna().tolist() == obs[column].dropna().tolist()


def changed(h5ad, name: str, value: object) -> None:
    with h5py.File(h5ad, "a") as file:
        attributes = dict(file[name].attrs) if name in file else {}
        if name in file:
            del file[name]
        file[name] = value
        file[name].attrs.update(attributes)


def test_category_codes_out_of_range_are_refused(h5ad):
    changed(h5ad, "obs/disease/codes", np.full(90, 5, np.int8))
    with pytest.raises(
        FormatError, match="'disease' has category codes out of range; seen: 5 to 5; allowed: -1 to 1"
    ):
        read_obs(h5ad)


def test_columns_of_the_wrong_length_are_refused(h5ad):
    changed(h5ad, "obs/age", np.zeros(89))
    with pytest.raises(FormatError, match="'age' of 'obs' has the wrong length; seen: 89; allowed: 90"):
        read_obs(h5ad)


def test_a_matrix_that_does_not_fit_its_tables_is_refused(h5ad):
    with h5py.File(h5ad, "a") as file:
        file["X"].attrs["shape"] = np.array([90, 61])
    with (
        open_hdf5(h5ad) as root,
        pytest.raises(FormatError, match="do not fit each other; seen: 90 x 61, 90 obs, 60 var"),
    ):
        read_anndata_node(root)


@pytest.mark.parametrize("shape", [[90], [-1, 60], [2.5, 3.0], ["a", "b"]])
def test_a_sparse_matrix_without_a_usable_shape_is_refused(h5ad, shape):
    with h5py.File(h5ad, "a") as file:
        file["X"].attrs["shape"] = shape
    with open_hdf5(h5ad) as root, pytest.raises(FormatError, match="without a usable shape"):
        read_anndata_node(root)


def test_a_file_without_a_matrix_is_refused(h5ad):
    with h5py.File(h5ad, "a") as file:
        del file["X"]
    with open_hdf5(h5ad) as root, pytest.raises(FormatError, match="has no 'X'"):
        read_anndata_node(root)


def test_tables_written_before_anndata_07_are_refused_with_a_remedy(h5ad):
    with h5py.File(h5ad, "a") as file:
        del file["obs"]
        file["obs"] = np.zeros(90, dtype=[("index", "S5"), ("age", "f8")])
    with pytest.raises(FormatError, match="before 0.7.*Open and write the file with a current anndata"):
        read_obs(h5ad)
