"""Disease-specific concepts: planted ones are found, chance finds nothing, and the figures are those of their names."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import permutation_test, ttest_ind
from sklearn.metrics import roc_auc_score

from trilineage.core.errors import CohortError, ConfigError
from trilineage.core.seeding import generator
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.evaluation.barcodes.disease import _t_values, disease_concepts, effect_intervals
from trilineage.evaluation.barcodes.make import weigh
from trilineage.evaluation.barcodes.settings import DiseaseSettings

from .drawing import draw_patients

QUICK = DiseaseSettings(n_permutations=199, n_bootstrap=200)


@pytest.fixture(scope="module")
def drawn():
    return draw_patients(90, signal=3.0)


def test_planted_concepts_are_found_and_little_else(drawn):
    barcodes, planted = drawn
    found = disease_concepts(barcodes, "B", settings=QUICK)
    assert set(found.specific()[:3]) == set(planted[1])
    assert len(found.specific()) <= 5
    assert (found.p_max[np.isin(found.latents, planted[1])] <= 0.01).all()
    assert found.n_patients == (30, 60)


def test_the_statistic_is_students_t():
    rng = generator(0, "t")
    logs, has_disease = rng.normal(size=(20, 4)), np.arange(20) < 7
    found = _t_values(logs, has_disease[None].astype(float))[0]
    np.testing.assert_allclose(found, ttest_ind(logs[has_disease], logs[~has_disease]).statistic)
    assert _t_values(np.ones((20, 1)), has_disease[None].astype(float)).tolist() == [[0.0]]


def test_p_values_of_one_latent_are_those_of_scipys_permutation_test(drawn):
    barcodes, _ = drawn
    found = disease_concepts(barcodes, "C", settings=DiseaseSettings(n_permutations=2000))
    logs = np.log1p(barcodes.dense().astype(float))
    own = barcodes.labels == "C"
    for place in (0, 50, 100):
        column = logs[:, found.latents[place]]
        difference = lambda one, other, axis: one.mean(axis=axis) - other.mean(axis=axis)  # noqa: E731
        peer = permutation_test(
            (column[own], column[~own]), difference, vectorized=True, n_resamples=2000, rng=generator(1, "p")
        )
        assert found.p_value[place] == pytest.approx(peer.pvalue, abs=0.05)


def test_without_a_difference_discoveries_are_as_rare_as_promised():
    n_families, n_wrong = 20, 0
    for seed in range(n_families):
        barcodes, _ = draw_patients(24, n_latents=80, signal=0.0, seed=seed)
        found = disease_concepts(barcodes, "A", settings=DiseaseSettings(n_permutations=99), seed=seed)
        n_wrong += bool((found.p_max <= 0.05).any())
        assert 0.3 < found.p_value.mean() < 0.7
    assert n_wrong <= 4


def test_areas_and_effects_are_those_of_their_definitions(drawn):
    barcodes, _ = drawn
    found = disease_concepts(barcodes, "A", against="B", settings=QUICK)
    rows = np.isin(barcodes.labels, ("A", "B"))
    logs, own = np.log1p(barcodes.dense()[rows].astype(float)), barcodes.labels[rows] == "A"
    column = logs[:, found.latents[5]]
    assert found.auroc[5] == pytest.approx(roc_auc_score(own, column))
    one, other = column[own], column[~own]
    pooled = np.sqrt(((len(one) - 1) * one.var(ddof=1) + (len(other) - 1) * other.var(ddof=1)) / 58)
    assert found.effect[5] == pytest.approx((one.mean() - other.mean()) / pooled * (1 - 3 / (4 * 58 - 1)))
    assert found.difference[5] == pytest.approx(one.mean() - other.mean())


def test_intervals_hold_the_effect_and_leave_out_zero_where_it_is_large(drawn):
    barcodes, planted = drawn
    found = disease_concepts(barcodes, "B", settings=QUICK)
    ends = effect_intervals(barcodes, found, planted[1], settings=QUICK)
    places = np.searchsorted(found.latents, planted[1])
    np.testing.assert_allclose(ends.effect, found.effect[places])
    assert ((ends.low > 0) & (ends.low < ends.effect) & (ends.effect < ends.high)).all()


def confounded(seed):
    """Return patients of two sites; one latent follows the site, and site south has most of the disease."""
    rng = generator(seed, "sites")
    sites = np.array(["north"] * 20 + ["south"] * 20)
    labels = np.where(rng.random(40) < np.where(sites == "south", 0.8, 0.2), "AML", "control")
    values = rng.gamma(1.0, 1.0, size=(40, 5)).astype(np.float32)
    values[sites == "south", 2] += 4.0
    names = np.array([f"p{i}" for i in range(40)])
    return Barcodes(names, sp.csr_array(values), np.full(40, 9), labels, sites)


def test_a_concept_of_the_site_is_none_of_the_disease():
    barcodes = confounded(3)
    over_all = disease_concepts(barcodes, "AML", settings=QUICK)
    within = disease_concepts(barcodes, "AML", within_sites=True, settings=QUICK)
    assert over_all.p_max[2] < 0.05
    assert within.p_value[2] > 0.1


def test_the_same_seed_gives_the_same_figures(drawn):
    one, again = (disease_concepts(drawn[0], "A", settings=QUICK, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.q_value, again.q_value)
    np.testing.assert_array_equal(one.p_max, again.p_max)


def test_questions_that_cannot_be_answered_are_refused(drawn):
    barcodes, _ = drawn
    with pytest.raises(CohortError, match="seen: 0 and 90 patients"):
        disease_concepts(barcodes, "Z")
    single = barcodes.subset(np.array([0, 1, 4, 7]))
    with pytest.raises(CohortError, match="too few patients to tell 'A'.*1 and 3"):
        disease_concepts(single, "A")
    with pytest.raises(CohortError, match="no site has patients of both sides"):
        disease_concepts(barcodes, "A", within_sites=True)
    with pytest.raises(CohortError, match="no latent that enough patients have"):
        disease_concepts(barcodes, "A", settings=DiseaseSettings(min_patients=91))
    with pytest.raises(ConfigError, match="weighted already"):
        disease_concepts(weigh(barcodes, "log1p"), "A")
    with pytest.raises(CohortError, match="90 patients without a label"):
        disease_concepts(replace(barcodes, labels=None), "A")
