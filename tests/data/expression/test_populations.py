"""Populations by group word and by literal cell type."""

import numpy as np
import pytest

from trilineage.core.errors import EmptyPopulationError
from trilineage.data.expression.populations import guess_progenitors, population_table, select_population

PBMC = np.array([
    "B_cell", "CD14", "CD16", "CD4", "CD8", "DCs", "HSC", "Lymph_prolif", "MAIT", "Mono_prolif", "NK_16hi",
    "Plasmablast", "Platelets", "RBC", "Treg", "gdT", "pDC",
])  # fmt: skip
MARROW = np.array([
    "HSCs & MPPs", "Lymphomyeloid prog", "Early erythroid progenitor", "Erythro-myeloid progenitors", "Plasma cells",
    "Classical Monocytes", "Non-classical monocytes", "CD56dimCD16+ NK cells", "Plasmacytoid dendritic cells",
    "CD4+ naive T cells", "Mature naive B cells", "GammaDelta T cells", "Myelocytes", "Multipotent progenitors",
])  # fmt: skip


def chosen(kinds: np.ndarray, *names: str) -> set[str]:
    return set(kinds[select_population(kinds, names)].tolist())


def test_monocytes_of_two_vocabularies():
    assert chosen(PBMC, "Monocyte") == {"CD14", "CD16", "Mono_prolif"}
    assert chosen(MARROW, "monocytes") == {"Classical Monocytes", "Non-classical monocytes"}


def test_lymphocytes_of_two_vocabularies():
    assert chosen(PBMC, "Lymphocyte") == (
        {"B_cell", "CD4", "CD8", "MAIT", "NK_16hi", "Plasmablast", "Treg", "gdT"}
    )
    assert chosen(MARROW, "LYMPHOCYTE") == (
        {
            "Plasma cells",
            "CD56dimCD16+ NK cells",
            "CD4+ naive T cells",
            "Mature naive B cells",
            "GammaDelta T cells",
        }
    )


def test_progenitors_of_two_vocabularies():
    assert chosen(PBMC, "progenitors") == {"HSC"}
    assert guess_progenitors(MARROW) == (
        "Early erythroid progenitor",
        "Erythro-myeloid progenitors",
        "HSCs & MPPs",
        "Lymphomyeloid prog",
        "Multipotent progenitors",
    )


@pytest.mark.parametrize(
    "name", ["HSC", "MPP", "CMP", "GMP", "MEP", "CLP", "LMPP", "CD34+", "HSC/MPP", "Blast"]
)
def test_short_names_of_progenitors(name):
    assert guess_progenitors(np.array([name, "Neutrophil"])) == (name,)


def test_a_literal_cell_type_goes_before_a_group():
    kinds = np.array(["Monocyte", "CD14 monocyte", "B"])
    assert chosen(kinds, "monocyte") == {"Monocyte"}


def test_several_names_add_up_and_all_is_everything():
    assert chosen(PBMC, "RBC", "Platelets") == {"RBC", "Platelets"}
    assert select_population(PBMC, ["all"]).all()
    assert select_population(PBMC, []).all()


def test_an_empty_population_is_refused_with_the_cell_types_there_are():
    with pytest.raises(EmptyPopulationError, match="'Monocyte'.*seen: cell types B, T.*progenitors"):
        select_population(np.array(["T", "B", "T"]), ["Monocyte"])


def test_the_table_counts_cells_by_type():
    assert population_table(np.array(["T", "B", "T"])) == [
        {"name": "T", "n_samples": 2},
        {"name": "B", "n_samples": 1},
    ]
