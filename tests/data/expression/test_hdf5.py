"""HDF5 files that are damaged, lie about their size, or point elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from trilineage.core.errors import FormatError
from trilineage.data.expression.hdf5 import open_hdf5, open_hdf5_node

N_DAMAGED = 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.h5"


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"cell,gene\n1,2\n", "first bytes"),
        (b"", "first bytes"),
        (b"\x1f\x8b\x08\x00", "gzip data"),
        (b"PK\x03\x04", "zip data"),
        (b"\x80\x04\x95", "pickle data"),
    ],
)
def test_a_file_that_is_no_hdf5_is_refused_with_what_it_is(path, content, seen):
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"not an HDF5 file; seen: {seen}"):
        open_hdf5_node(path)


def test_an_absent_file_is_refused(path):
    with pytest.raises(FormatError, match="no such file"):
        open_hdf5_node(path)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_a_truncated_file_is_refused(path, h5ad, kept):
    content = h5ad.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(FormatError, match="cannot read file.h5.*truncated"):
        open_hdf5_node(path)


def first_child(path: Path, name: str = "x"):
    with open_hdf5(path) as root:
        return root.child(name).array()[:]


def test_a_dataset_that_was_never_written_claims_in_vain(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", shape=(10**9,), dtype="f4", chunks=(10**6,), compression="gzip")
    assert path.stat().st_size < 20_000
    with pytest.raises(
        FormatError, match="'x' claims more data than the file holds; seen: 4,000,000,000 bytes"
    ):
        first_child(path)


def test_a_plain_dataset_without_its_bytes_is_refused(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", shape=(10**9,), dtype="f4")
    with pytest.raises(FormatError, match="claims more data"):
        first_child(path)


def test_a_dataset_of_which_little_was_written_is_refused(path):
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", (10**9,), "f4", chunks=(10**4,), compression="gzip")
        data[: 10**4] = np.arange(10**4) % 7
    assert path.stat().st_size < 20_000
    with pytest.raises(FormatError, match="claims more data"):
        first_child(path)


def test_a_chunk_far_larger_than_its_dataset_is_refused(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.ones(5), maxshape=(None,), chunks=(3 * 10**6,), compression="gzip")
    with pytest.raises(FormatError, match="claims more data"):
        first_child(path)


def test_an_honest_compressed_dataset_is_read(path):
    values = np.random.default_rng(0).poisson(0.1, 500_000).astype("f4")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, compression="gzip", shuffle=True)
    np.testing.assert_array_equal(first_child(path), values)


@pytest.mark.parametrize("key", [slice(None), slice(3, 7), slice(9, 2), slice(995, 2000), slice(0, 9, 2)])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_slices_of_plain_and_packed_data_are_those_of_numpy(path, key, compression):
    values = np.arange(3000.0).reshape(1000, 3)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, compression=compression)
    with open_hdf5(path) as root:
        np.testing.assert_array_equal(root.child("x").array()[key], values[key])


def test_a_file_cut_short_after_it_was_opened_is_noticed(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(100_000.0))
    with open_hdf5(path) as root:
        array = root.child("x").array()
        os.truncate(path, 400_000)
        with pytest.raises(FormatError, match="ends too early"):
            array[:]


@pytest.mark.parametrize(
    "kind", ["external link", "soft link", "virtual", "external storage", "references", "ragged"]
)
def test_data_that_lie_elsewhere_are_refused(path, kind):
    other = path.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["x"] = np.arange(5.0)
    with h5py.File(path, "w") as file:
        if kind == "external link":
            file["x"] = h5py.ExternalLink(other, "x")
        elif kind == "soft link":
            file["x"] = h5py.SoftLink("/y")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((5,), "f8")
            layout[:] = h5py.VirtualSource(other, "x", shape=(5,))
            file.create_virtual_dataset("x", layout)
        elif kind == "external storage":
            file.create_dataset("x", (5,), "f8", external=[(str(path.with_name("raw")), 0, 40)])
        elif kind == "references":
            file.create_dataset("x", (1,), h5py.ref_dtype)
        else:
            file.create_dataset("x", (1,), h5py.vlen_dtype(np.int32))
    with pytest.raises(FormatError, match="link out of its place|in another file|references or ragged"):
        first_child(path)


def test_a_committed_type_is_no_data(path):
    with h5py.File(path, "w") as file:
        file["x"] = np.dtype("f8")
    with pytest.raises(FormatError, match="neither group nor array"):
        first_child(path)


def test_an_absent_child_is_refused_with_those_there_are(path):
    with h5py.File(path, "w") as file:
        file["y"] = 1
    with pytest.raises(FormatError, match="has no 'x'; seen: y"):
        first_child(path)


def test_texts_longer_than_the_file_are_refused(path):
    with h5py.File(path, "w") as file:
        names = file.create_dataset("x", (3000,), h5py.string_dtype())
        names[0] = "A" * 1_000_000
    raw = bytearray(path.read_bytes())
    with h5py.File(path, "r") as file:
        offset = file["x"].id.get_offset()
    reference = bytes(raw[offset : offset + 16])
    raw[offset : offset + 16 * 3000] = reference * 3000  # every name is the same long text
    path.write_bytes(raw)
    with open_hdf5(path) as root, pytest.raises(FormatError, match="texts longer than the file"):
        root.child("x").values()


_OPEN_EACH = """
import sys
from pathlib import Path
from trilineage.core.errors import DataError
from trilineage.data.expression.open import ExpressionSettings, open_expression
import numpy as np
for path in sorted(Path(sys.argv[1]).glob("*.h5ad")):
    print("open", path.name, flush=True)
    try:
        data = open_expression(ExpressionSettings(path=str(path)))
        data.take(np.arange(data.n_obs))
        print("clean", flush=True)
    except DataError as error:
        print(type(error).__name__, flush=True)
"""


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip a few bytes, most of them in the structure at the front, or cut the end off."""
    if rng.random() < 0.1:
        return content[: rng.integers(len(content))]
    changed = bytearray(content)
    reach = len(content) if rng.random() < 0.5 else 8000
    for place in rng.integers(8, reach, size=rng.integers(1, 20)):
        changed[place] = rng.integers(256)
    return bytes(changed)


def test_damaged_files_give_typed_errors_and_neither_crash_nor_hang(h5ad, tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(N_DAMAGED):
        (folder / f"{i:03d}.h5ad").write_bytes(damaged(h5ad.read_bytes(), rng))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _OPEN_EACH, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    outcomes = done.stdout.split("\n")[1:-1:2]
    assert done.returncode == 0, f"{done.stdout[-200:]}\n{done.stderr[-2000:]}"
    assert len(outcomes) == N_DAMAGED
    assert outcomes.count("FormatError") > N_DAMAGED / 5
    assert set(outcomes) <= {"clean", "FormatError", "MatrixError", "ColumnError"}
