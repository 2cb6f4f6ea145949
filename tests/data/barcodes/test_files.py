"""Barcodes on disk: anndata reads them, we read them back, and damaged or foreign files give typed errors."""

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from trilineage.core.errors import DataError, FormatError, MatrixError, NewerVersionError
from trilineage.core.seeding import generator
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.barcodes.files import read_barcodes, write_barcodes


@pytest.fixture
def barcodes():
    values = sp.random_array((6, 500), density=0.1, rng=generator(0, "x"), dtype=np.float32).tocsr()
    names = np.array([f"p{i}" for i in range(6)])
    labels = np.array(["AML", "control", "", "AML", "AML", "control"])
    options = {"tau": 0.3, "uses_cls": False, "weighting": "log1p", "dictionary_key": "d", "encoder_key": "é"}
    return Barcodes(names, values, np.arange(1, 7), labels, **options)


@pytest.fixture
def path(barcodes, tmp_path):
    write_barcodes(tmp_path / "barcodes.h5ad", barcodes)
    return tmp_path / "barcodes.h5ad"


def test_what_was_written_is_read(barcodes, path):
    found = read_barcodes(path)
    np.testing.assert_array_equal(found.dense(), barcodes.dense())
    for name in ("names", "n_images", "labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(barcodes, name))
    for name in ("tau", "uses_cls", "weighting", "dictionary_key", "encoder_key", "sites"):
        assert getattr(found, name) == getattr(barcodes, name)


def test_anndata_opens_the_file(barcodes, path):
    adata = anndata.read_h5ad(path)
    np.testing.assert_array_equal(adata.X.toarray(), barcodes.dense())
    assert adata.obs["n_images"].tolist() == [1, 2, 3, 4, 5, 6]
    assert adata.var_names[7] == "latent 7"


def test_another_h5ad_is_no_table_of_barcodes(tmp_path):
    anndata.AnnData(np.ones((2, 3), np.float32)).write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(FormatError, match="holds no barcodes"):
        read_barcodes(tmp_path / "other.h5ad")


def test_a_newer_format_is_refused(path):
    with h5py.File(path, "r+") as file:
        file["uns/barcodes/version"][()] = 2
    with pytest.raises(NewerVersionError, match="newer trilineage"):
        read_barcodes(path)


@pytest.mark.parametrize(
    ("element", "value", "error", "message"),
    [
        ("X/data", np.nan, MatrixError, "NaN or infinite"),
        ("X/indices", 10_000, MatrixError, "out of range"),
        ("uns/barcodes/tau", np.nan, FormatError, "'tau'.*is no number"),
    ],
)
def test_impossible_values_are_refused(path, element, value, error, message):
    with h5py.File(path, "r+") as file:
        place = file[element]
        place[() if place.shape == () else 0] = value
    with pytest.raises(error, match=message):
        read_barcodes(path)


def test_an_unknown_weighting_is_refused(path):
    with h5py.File(path, "r+") as file:
        del file["uns/barcodes/weighting"]
        file["uns/barcodes/weighting"] = "softmax"
    with pytest.raises(FormatError, match="unknown weighting.*seen: softmax"):
        read_barcodes(path)


def test_a_file_without_numbers_of_images_is_refused(path):
    with h5py.File(path, "r+") as file:
        del file["obs/n_images"]
    with pytest.raises(MatrixError, match="how many images"):
        read_barcodes(path)


def test_a_truncated_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(FormatError, match="truncated"):
        read_barcodes(path)


def test_damaged_files_give_typed_errors_only(path):
    content, rng, outcomes = path.read_bytes(), generator(1, "damage"), []
    for _ in range(30):
        changed = bytearray(content)
        for place in rng.integers(8, len(content), size=rng.integers(1, 8)):
            changed[place] = rng.integers(256)
        path.write_bytes(bytes(changed))
        try:
            read_barcodes(path)
        except (DataError, NewerVersionError) as error:
            outcomes.append(type(error).__name__)
    assert outcomes
