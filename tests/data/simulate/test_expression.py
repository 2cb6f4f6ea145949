"""Simulated blood has the structure and the statistics that its settings promise."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trilineage.core.errors import ConfigError
from trilineage.data.simulate.expression import simulate_expression
from trilineage.data.simulate.settings import SimulationSettings

SETTINGS = SimulationSettings(n_classes=4, n_donors_per_class=4, n_cells_per_donor=60, n_genes=400)


@pytest.fixture(scope="module")
def blood():
    return simulate_expression(SETTINGS)


def test_the_same_seed_gives_the_same_cells_and_another_seed_others(blood):
    again = simulate_expression(SETTINGS)
    assert (again.counts != blood.counts).nnz == 0
    assert (simulate_expression(SETTINGS.replace(seed=1)).counts != blood.counts).nnz > 0


def test_donors_have_one_disease_and_one_site_drawn_independently_of_it():
    blood = simulate_expression(SETTINGS.replace(n_donors_per_class=40, n_cells_per_donor=2))
    per_donor = blood.obs.groupby("donor_id", observed=True)[["disease", "site"]].nunique()
    assert (per_donor == 1).all().all()
    donors = blood.obs.drop_duplicates("donor_id")
    table = pd.crosstab(donors["disease"], donors["site"])
    assert stats.chi2_contingency(table).pvalue > 0.01


def test_the_density_is_about_what_was_asked_for(blood):
    density = blood.counts.nnz / np.prod(blood.counts.shape)
    assert density == pytest.approx(SETTINGS.density, rel=0.3)


def test_counts_vary_more_than_poisson(blood):
    dense = blood.counts.toarray().astype(float)
    mean, variance = dense.mean(axis=0), dense.var(axis=0)
    expressed = mean > 0.5
    assert np.median(variance[expressed] / mean[expressed]) > 1.2


def test_without_signal_no_class_has_an_effect():
    silent = simulate_expression(SETTINGS.replace(signal=0.0))
    for disease in silent.truth.classes:
        assert np.count_nonzero(silent.truth.effects(disease)) == 0


def test_effects_are_strongest_in_progenitors_then_monocytes_then_lymphocytes(blood):
    sizes = {
        lineage: np.mean(
            [np.abs(blood.truth.effects(disease, lineage)).sum() for disease in blood.truth.classes[1:]]
        )
        for lineage in ("progenitor", "monocyte", "lymphocyte")
    }
    assert sizes["progenitor"] > sizes["monocyte"] > sizes["lymphocyte"] > 0


def test_program_genes_change_in_the_cells_as_the_truth_says(blood):
    totals = np.ravel(blood.counts.sum(axis=1))
    shares = blood.counts.toarray() / totals[:, None]
    progenitor = (blood.obs["lineage"] == "progenitor").to_numpy()
    for disease in blood.truth.classes[1:]:
        effects = blood.truth.effects(disease)
        ill = shares[progenitor & (blood.obs["disease"] == disease).to_numpy()].mean(axis=0)
        well = shares[progenitor & (blood.obs["disease"] == "healthy").to_numpy()].mean(axis=0)
        is_seen = (effects != 0) & (well > 1e-4)
        observed = np.log(ill[is_seen] / well[is_seen])
        assert np.corrcoef(observed, effects[is_seen])[0, 1] > 0.6


def test_programs_are_inherited_along_the_tree(blood):
    programs = blood.truth.cell_programs
    assert set(programs["is_inherited"]) == {True, False}


def test_fewer_donors_are_the_same_donors():
    few = simulate_expression(SETTINGS.replace(n_donors_per_class=2))
    many = simulate_expression(SETTINGS)
    shared = many.obs.index.get_indexer(few.obs.index)
    assert (many.counts[shared] != few.counts).nnz == 0


def test_patients_of_a_list_are_simulated_with_their_class_site_and_part(tmp_path):
    path = tmp_path / "patients.csv"
    path.write_text("patient,diagnosis,site,part\nA,b,site-2,train\nB,a,,test\n")
    settings = SETTINGS.replace(labels=("a", "b"), patients=str(path), n_cells_per_donor=3)
    cells = simulate_expression(settings).obs.drop_duplicates("donor_id").set_index("donor_id")
    assert cells["disease"].to_dict() == {"A": "b", "B": "a"}
    assert cells["part"].to_dict() == {"A": "train", "B": "test"}
    assert cells.loc["A", "site"] == "site-2"


def test_a_listed_patient_does_not_depend_on_the_others(tmp_path):
    rows = {"all": "A,AML\nB,healthy\n", "alone": "B,healthy\n"}
    found = {}
    for name, text in rows.items():
        (tmp_path / name).write_text(f"patient,diagnosis\n{text}")
        blood = simulate_expression(SETTINGS.replace(patients=str(tmp_path / name), n_cells_per_donor=3))
        found[name] = blood.counts[(blood.obs["donor_id"] == "B").to_numpy()]
    assert (found["all"] != found["alone"]).nnz == 0


@pytest.mark.parametrize(("row", "message"), [("A,AMM", "no class"), ("A,AML,site-9", "does not exist")])
def test_a_list_with_unknown_classes_or_sites_is_refused(tmp_path, row, message):
    path = tmp_path / "patients.csv"
    path.write_text(f"patient,diagnosis,site\n{row}\n")
    with pytest.raises(ConfigError, match=message):
        simulate_expression(SETTINGS.replace(patients=str(path)))


@pytest.mark.parametrize("labels", [("a",), ("a", "a")])
def test_labels_must_be_classes(labels):
    with pytest.raises(ConfigError, match="no list of classes"):
        SimulationSettings(labels=labels)
