"""Genes are ordered by strength in either direction, with intervals where there are some."""

import math

from trilineage.report.blocks import Facts, Table
from trilineage.report.sections.genes import gene_table, genes_figure, genes_section, read_genes

TABLE = {"class": ["A", "A", "B"], "gene": ["g1", "g2", "g1"], "attribution": ["0.1", "-0.4", "0.2"]}


def test_the_strongest_gene_comes_first_whichever_way_it_speaks():
    genes = read_genes(TABLE)
    assert [gene.name for gene in genes["A"]] == ["g2", "g1"]
    assert list(genes) == ["A", "B"]


def test_an_interval_that_was_not_written_is_unknown():
    assert math.isnan(read_genes(TABLE)["B"][0].low)
    assert read_genes({**TABLE, "low": ["0", "-1", ""], "high": ["1", "0", ""]})["A"][0].low == -1.0


def test_stability_and_recovery_stand_beside_the_genes(bare_run):
    bare_run.write_table("explain/genes.csv", TABLE)
    bare_run.write_json("explain/stability.json", {"n_seeds": 5})
    bare_run.write_json("explain/recovery.json", {"classes": {"A": {"auroc": 0.9}, "B": {"auroc": None}}})
    blocks = genes_section(bare_run).blocks
    assert Facts((("Seeds", "5"),)) in blocks
    tables = [block for block in blocks if isinstance(block, Table)]
    assert tables[0].rows == (("A", "0.900"), ("B", "–"))


def test_a_run_that_was_not_explained_has_no_section(bare_run):
    assert genes_section(bare_run) is None


def test_true_genes_are_marked_where_there_is_a_truth():
    genes = read_genes({**TABLE, "true_effect": ["0.0", "-0.8", "0.0"], "share_of_seeds": ["0.5", "1", "0"]})
    assert [gene.is_true for gene in genes["A"]] == [True, False]
    assert ">g2 *</text>" in genes_figure(genes).svg
    assert gene_table(genes).rows[0] == ("A", "1", "g2", ("−0.4000", ""), "1.00", "−0.80")


def test_without_a_truth_nothing_is_marked():
    genes = read_genes(TABLE)
    assert " *</text>" not in genes_figure(genes).svg
    assert gene_table(genes).columns[-1] == "Share of seeds"
