"""Cell Ranger output of both generations, whole and damaged."""

import gzip
import shutil

import h5py
import numpy as np
import pytest
from scipy import io as scipy_io
from scipy import sparse

from trilineage.core.errors import FormatError
from trilineage.data.expression.open import ExpressionSettings, open_expression

IDS = [f"ENSG{i:011d}" for i in range(12)] + ["AB1"]
NAMES = [f"GENE{i}" for i in range(12)] + ["CD3 antibody"]
TYPES = ["Gene Expression"] * 12 + ["Antibody Capture"]
BARCODES = [f"ACGT-{i}" for i in range(7)]


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(1.0, size=(7, 13)).astype(np.int32)


def opened(path, **options):
    return open_expression(ExpressionSettings(path=str(path), **options))


def dense(data) -> np.ndarray:
    return data.to_csr(np.arange(data.n_obs), counts=True).toarray()


def write_h5(path, counts: np.ndarray, version: int = 3) -> None:
    matrix = sparse.csr_matrix(counts)  # cells x genes by rows = genes x cells by columns
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix" if version == 3 else "GRCh38")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = np.array(counts.shape[::-1], np.int32)
        group["barcodes"] = np.array(BARCODES, dtype="S")
        if version == 3:
            for name, values in (("id", IDS), ("name", NAMES), ("feature_type", TYPES)):
                group[f"features/{name}"] = np.array(values, dtype="S")
        else:
            group["genes"], group["gene_names"] = np.array(IDS, dtype="S"), np.array(NAMES, dtype="S")


def write_folder(folder, counts: np.ndarray, *, zipped: bool, features: str = "features.tsv") -> None:
    folder.mkdir()
    scipy_io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(counts.T))
    lines = ["\t".join(row) for row in zip(IDS, NAMES, TYPES, strict=True)]
    (folder / features).write_text("\n".join(lines) + "\n")
    (folder / "barcodes.tsv").write_text("\n".join(BARCODES) + "\n")
    for path in list(folder.iterdir()) if zipped else []:
        with gzip.open(f"{path}.gz", "wb") as packed, open(path, "rb") as plain:
            shutil.copyfileobj(plain, packed)
        path.unlink()


@pytest.mark.parametrize("backed", ["no", "yes"])
def test_the_h5_file_is_read_without_antibodies(counts, tmp_path, backed):
    write_h5(tmp_path / "filtered.h5", counts)
    data = opened(tmp_path / "filtered.h5", backed=backed)
    np.testing.assert_array_equal(dense(data), counts[:, :12])
    assert data.genes.ids.tolist() == IDS[:12]
    assert data.genes.symbols.tolist() == NAMES[:12]
    assert data.obs_names.tolist() == BARCODES
    assert any("1 features that are not gene expression" in note for note in data.notes)
    data.close()


def test_the_h5_file_of_the_second_generation_is_read(counts, tmp_path):
    write_h5(tmp_path / "filtered.h5", counts, version=2)
    np.testing.assert_array_equal(dense(opened(tmp_path / "filtered.h5")), counts)


@pytest.mark.parametrize(("zipped", "features"), [(True, "features.tsv"), (False, "genes.tsv")])
def test_the_matrix_folder_is_read(counts, tmp_path, zipped, features):
    write_folder(tmp_path / "filtered", counts, zipped=zipped, features=features)
    data = opened(tmp_path / "filtered")
    np.testing.assert_array_equal(dense(data), counts[:, :12])
    assert data.obs_names.tolist() == BARCODES


def test_a_folder_without_its_matrix_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no 10x matrix folder.*without matrix.mtx"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("13 7 900000000", "claims more entries than it holds"),
        ("900000000 7 3", "do not fit each other"),
        ("13 7", "cannot read matrix.mtx"),
    ],
)
def test_a_matrix_that_claims_too_much_is_refused(counts, tmp_path, header, message):
    write_folder(tmp_path / "filtered", counts, zipped=False)
    head = "%%MatrixMarket matrix coordinate integer general\n"
    (tmp_path / "filtered/matrix.mtx").write_text(f"{head}{header}\n1 1 4\n2 1 3\n3 1 2\n")
    with pytest.raises(FormatError, match=message):
        opened(tmp_path / "filtered")


def test_an_entry_outside_the_matrix_is_refused(counts, tmp_path):
    write_folder(tmp_path / "filtered", counts, zipped=False)
    head = "%%MatrixMarket matrix coordinate integer general\n"
    (tmp_path / "filtered/matrix.mtx").write_text(f"{head}13 7 2\n1 1 4\n99 1 3\n")
    with pytest.raises(FormatError, match="cannot read matrix.mtx"):
        opened(tmp_path / "filtered")


def test_barcodes_that_do_not_fit_are_refused(counts, tmp_path):
    write_h5(tmp_path / "filtered.h5", counts)
    with h5py.File(tmp_path / "filtered.h5", "a") as file:
        del file["matrix/barcodes"]
        file["matrix/barcodes"] = np.array(BARCODES[:-1], dtype="S")
    with pytest.raises(FormatError, match="do not fit each other.*6 barcodes"):
        opened(tmp_path / "filtered.h5")
