"""Text tables in both orientations, with sample columns inside or beside."""

import gzip

import numpy as np
import pytest

from trilineage.core.errors import ColumnError, FormatError, MatrixError
from trilineage.data.expression.open import ExpressionSettings, open_expression

GENES = "gene,symbol,s1,s2,s3\nENSG00000000001.2,CD34,1,0,5\nENSG00000000002.1,MPO,0,7,2\n"
SAMPLES = "sample,CD34,MPO,disease,age\ns1,1,0,AML,3\ns2,0,7,healthy,41\ns3,5,2,AML,9\n"
COUNTS = np.array([[1, 0], [0, 7], [5, 2]])


@pytest.fixture
def opened(tmp_path):
    def open_text(text: str, name: str = "table.csv", **options):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return open_expression(ExpressionSettings(path=str(path), **options))

    return open_text


def dense(data) -> np.ndarray:
    return data.to_csr(np.arange(data.n_obs), counts=True).toarray()


def test_genes_by_samples_are_turned_and_other_names_kept(opened):
    data = opened(GENES)
    np.testing.assert_array_equal(dense(data), COUNTS)
    assert data.genes.symbols.tolist() == ["CD34", "MPO"]
    assert data.genes.ids.tolist() == ["ENSG00000000001", "ENSG00000000002"]
    assert any("read as genes_by_samples (100.0% of the row names" in note for note in data.notes)


def test_samples_by_genes_keep_their_sample_columns(opened):
    data = opened(SAMPLES)
    np.testing.assert_array_equal(dense(data), COUNTS)
    assert list(data.obs.columns) == ["disease", "age"]
    assert data.column("label").tolist() == ["AML", "healthy", "AML"]


def test_a_number_column_asked_for_belongs_to_the_samples(opened):
    data = opened(SAMPLES.replace("age", "ward"), site_key="ward")
    assert data.column("site").tolist() == ["3", "41", "9"]
    assert data.n_vars == 2


@pytest.mark.parametrize("name", ["t.tsv", "t.txt.gz"])
def test_tabs_and_gzip_are_understood(opened, name):
    np.testing.assert_array_equal(dense(opened(GENES.replace(",", "\t"), name)), COUNTS)


def test_a_table_of_r_without_a_name_above_the_row_names_is_understood(opened):
    np.testing.assert_array_equal(dense(opened(GENES.removeprefix("gene,"))), COUNTS)


def test_repeated_genes_are_summed(opened):
    data = opened("sample,CD34,MPO,CD34\ns1,1,2,3\ns2,4,5,6\n")
    assert dense(data).tolist() == [[4, 2], [10, 5]]


def test_without_known_names_the_longer_side_is_the_genes(opened):
    data = opened("x,a,b\n" + "".join(f"q{i},{i},1\n" for i in range(5)))
    assert (data.n_obs, data.n_vars) == (2, 5)
    assert any("the longer side is taken as genes" in note for note in data.notes)


def test_an_orientation_asked_for_is_taken(opened):
    assert (
        opened(
            GENES.replace("symbol,", "").replace("CD34,", "").replace("MPO,", ""),
            orientation="samples_by_genes",
        ).n_obs
        == 2
    )


def test_a_second_table_is_joined_by_name(opened, tmp_path):
    (tmp_path / "obs.tsv").write_text("id\tdisease\ns3\tB\ns1\tA\ns2\tA\n")
    data = opened(GENES, obs_path=str(tmp_path / "obs.tsv"))
    assert data.column("label").tolist() == ["A", "A", "B"]


def test_a_second_table_that_lacks_a_sample_is_refused(opened, tmp_path):
    (tmp_path / "obs.tsv").write_text("id\tdisease\ns3\tB\n")
    with pytest.raises(ColumnError, match="lacks samples.*2 of 3, such as s1, s2"):
        opened(GENES, obs_path=str(tmp_path / "obs.tsv"))


def test_a_second_table_that_repeats_a_sample_is_refused(opened, tmp_path):
    (tmp_path / "obs.tsv").write_text("id\tdisease\ns3\tB\ns3\tA\n")
    with pytest.raises(ColumnError, match="names a sample twice; seen: s3"):
        opened(GENES, obs_path=str(tmp_path / "obs.tsv"))


@pytest.mark.parametrize(
    "text", ["", "only one line\n", "a,b\n1\n", "a,b,c\nx,1,2\ny,1,2,3,4\n", "\x00\x01\x02\n\x03\n"]
)
def test_what_is_no_table_is_refused(opened, text):
    with pytest.raises(FormatError):
        opened(text)


def test_a_table_that_is_not_gzip_is_refused(opened, tmp_path):
    (tmp_path / "t.csv.gz").write_text(GENES)
    with pytest.raises(FormatError, match="cannot read t.csv.gz"):
        open_expression(ExpressionSettings(path=str(tmp_path / "t.csv.gz")))


def test_texts_alone_are_no_expression(opened):
    with pytest.raises(MatrixError, match="no column of numbers"):
        opened("a,b\nx,y\nz,w\n")


def test_missing_numbers_are_refused(opened):
    with pytest.raises(MatrixError, match="NaN"):
        opened(GENES.replace("7", ""))
