"""Gene names, duplicates, and the alignment of data to a model."""

import numpy as np
import pandas as pd
import pytest

from trilineage.core.errors import FormatError, GeneAlignmentError
from trilineage.data.expression.genes import GeneTable, align_genes, gene_table, merge_duplicates


def table(ids: list[str], symbols: list[str]) -> GeneTable:
    return GeneTable(np.array(ids, dtype=np.str_), np.array(symbols, dtype=np.str_))


MODEL = table(
    ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003", "ENSG00000000004"],
    ["CD34", "MPO", "GATA1", "SEPT6"],
)


def test_versions_are_stripped_from_ensembl_ids():
    genes = gene_table(["ENSG00000000001.12", "ENSMUSG00000000002.3"])
    assert genes.ids.tolist() == ["ENSG00000000001", "ENSMUSG00000000002"]


def test_symbols_are_found_beside_ids():
    var = pd.DataFrame({"feature_name": ["CD34", "nan"]})
    genes = gene_table(["ENSG00000000001", "ENSG00000000002"], var)
    assert genes.symbols.tolist() == ["CD34", ""]
    assert genes.names.tolist() == ["CD34", "ENSG00000000002"]


def test_ids_are_found_beside_symbols():
    genes = gene_table(["CD34", "MPO"], pd.DataFrame({"gene_ids": ["ENSG00000000001.2", "ENSG00000000002"]}))
    assert genes.ids.tolist() == ["ENSG00000000001", "ENSG00000000002"]
    assert genes.symbols.tolist() == ["CD34", "MPO"]


def test_columns_of_one_gene_share_a_place():
    genes, place = merge_duplicates(gene_table(["ENSG00000000009.1", "ENSG00000000001", "ENSG00000000009.2"]))
    assert genes.ids.tolist() == ["ENSG00000000009", "ENSG00000000001"]
    assert place.tolist() == [0, 1, 0]


def test_the_same_symbol_under_two_ids_stays_two_genes():
    var = pd.DataFrame({"gene_ids": ["ENSG00000000001", "ENSG00000000002"]})
    assert len(merge_duplicates(gene_table(["TBCE", "TBCE"], var))[0]) == 2


def test_a_gene_without_a_name_is_refused():
    with pytest.raises(FormatError, match="genes without a name.*1 of 2"):
        merge_duplicates(gene_table(["CD34", ""]))


def test_genes_match_by_id_then_symbol_then_case():
    data = table(["ENSG00000000002", "", "", ""], ["OLD_NAME", "Gata1", "CD34", "XIST"])
    alignment = align_genes(MODEL, data)
    assert alignment.target.tolist() == [1, 2, 0, -1]
    assert (alignment.n_by_id, alignment.n_by_symbol, alignment.n_by_case) == (1, 1, 1)
    assert alignment.missing.tolist() == [False, False, False, True]
    assert set(alignment.renamed) == {("MPO", "OLD_NAME"), ("GATA1", "Gata1")}


def test_mouse_data_match_a_human_model_by_symbol():
    data = table(["ENSMUSG00000000001", "ENSMUSG00000000002"], ["Cd34", "Mpo"])
    assert align_genes(MODEL, data).n_by_case == 2


def test_duplicated_data_genes_share_a_model_gene():
    alignment = align_genes(MODEL, table(["", ""], ["CD34", "CD34"]))
    assert alignment.target.tolist() == [0, 0]
    assert alignment.duplicated == ("CD34",)


def test_the_report_counts_what_is_lost():
    data = table(["ENSG00000000001", ""], ["CD34", "XIST"])
    report = align_genes(MODEL, data, data_totals=np.array([30.0, 10.0])).report()
    assert report["share_counts_lost"] == 0.25
    assert (report["n_matched"], report["n_missing"], report["n_unknown_to_model"]) == (1, 3, 1)
    assert report["missing"] == ["MPO", "GATA1", "SEPT6"]


def test_totals_are_corrected_by_the_share_the_matched_genes_held():
    share = np.array([0.1, 0.2, 0.3, 0.4])
    assert align_genes(
        MODEL, table(["", ""], ["MPO", "SEPT6"]), model_share=share
    ).expected_share == pytest.approx(0.6)


def test_too_few_genes_are_refused_unless_the_threshold_is_lowered():
    alignment = align_genes(MODEL, table([""], ["CD34"]))
    with pytest.raises(GeneAlignmentError, match=r"1 of 4 model genes \(25.0%"):
        alignment.require(0.5)
    assert alignment.require(0.2) is alignment


def test_no_gene_in_common_is_refused_whatever_the_threshold():
    with pytest.raises(GeneAlignmentError, match="no gene in common"):
        align_genes(MODEL, table([""], ["PC_1"])).require(0.0)
