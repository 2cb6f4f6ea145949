"""Zarr stores that are unsafe, damaged, or lie about their size."""

import json

import numpy as np
import pytest
import zarr

from trilineage.core.errors import FormatError, UnsafeFileError
from trilineage.data.expression.zarr_file import open_zarr


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(FormatError, match="not a zarr group"):
        open_zarr(tmp_path)


def test_a_codec_that_unpickles_is_never_run(tmp_path):
    zarr.create_group(tmp_path, zarr_format=2, overwrite=True)
    (tmp_path / "obs").mkdir()
    metadata = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "filters": [{"id": "pickle"}]}
    (tmp_path / "obs/.zarray").write_text(json.dumps(metadata))
    with pytest.raises(UnsafeFileError, match="needs unpickling"):
        open_zarr(tmp_path)


def test_an_array_that_was_never_written_claims_in_vain(tmp_path):
    zarr.create_group(tmp_path, overwrite=True).create_array("X", shape=(10**9,), chunks=(10**6,), dtype="f4")
    with pytest.raises(FormatError, match="claims more data than is stored"):
        open_zarr(tmp_path).child("X")


def test_damaged_chunks_are_refused(tmp_path):
    group = zarr.create_group(tmp_path, overwrite=True)
    group.create_array("X", data=np.arange(100.0), chunks=(50,))
    chunk = next(path for path in (tmp_path / "X").rglob("*") if path.is_file() and path.name != "zarr.json")
    chunk.write_bytes(b"damaged")
    with pytest.raises(FormatError, match="cannot read"):
        open_zarr(tmp_path).child("X").values()


def test_an_absent_child_is_refused(tmp_path):
    zarr.create_group(tmp_path, overwrite=True)
    with pytest.raises(FormatError, match="has no 'X'"):
        open_zarr(tmp_path).child("X")
