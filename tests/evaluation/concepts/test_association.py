"""Areas are scikit-learn's, standard errors Obuchowski's, and tests keep their level where patients go together."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit
from scipy.stats import mannwhitneyu, rankdata
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from trilineage.core.errors import CohortError, DataError
from trilineage.evaluation.concepts.association import (
    AssociationTable,
    associate,
    checked_activations,
    label_correlation,
)

N_IMAGES, N_LATENTS, N_PATIENTS = 160, 12, 20


@pytest.fixture(scope="module")
def drawn():
    """Activations with many ties, zeros and negative values; targets, one of them unknown in part; patients."""
    rng = np.random.default_rng(0)
    shape = (N_IMAGES, N_LATENTS)
    dense = np.where(rng.random(shape) < 0.4, rng.normal(size=shape).round(1), 0.0)
    dense[:, 0] = np.abs(dense[:, 0])
    dense[:, 1] = rng.normal(size=N_IMAGES)  # never silent
    dense[:, 2] = 0.0  # dead
    targets = {"a": rng.random(N_IMAGES) < 0.3, "b": rng.integers(0, 2, N_IMAGES)}
    targets["c"] = np.where(rng.random(N_IMAGES) < 0.3, -1, targets["b"])
    return dense, targets, rng.integers(0, N_PATIENTS, N_IMAGES)


def known(target) -> tuple[np.ndarray, np.ndarray]:
    codes = np.asarray(target).astype(int)
    return codes >= 0, codes == 1


def obuchowski(values, holds, patients) -> float:
    """Variance of the area, written down from Obuchowski (1997), equations 3 to 5, with all pairs."""
    pairs = (values[holds][:, None] > values[~holds]) + 0.5 * (values[holds][:, None] == values[~holds])
    m, n = pairs.shape
    of_positive, of_negative = np.zeros(len(values)), np.zeros(len(values))
    of_positive[holds] = pairs.mean(axis=1) - pairs.mean()
    of_negative[~holds] = pairs.mean(axis=0) - pairs.mean()
    groups = [patients == patient for patient in np.unique(patients)]
    a, b = (np.array([terms[group].sum() for group in groups]) for terms in (of_positive, of_negative))
    n_a, n_b = (sum((side & group).any() for group in groups) for side in (holds, ~holds))
    own = n_a / (n_a - 1) * (a @ a) / m**2 + n_b / (n_b - 1) * (b @ b) / n**2
    return own + 2 * len(groups) / (len(groups) - 1) * (a @ b) / (m * n)


def rank_score_p_value(values, holds, patients) -> float:
    """The p-value of `associate`, written down over all images."""
    ranks = rankdata(values) - (len(values) + 1) / 2
    groups = [patients == patient for patient in np.unique(patients)]
    parts = np.array([((holds - holds.mean()) * ranks)[group].sum() for group in groups])
    sides = np.array([[(holds & group).sum(), (~holds & group).sum()] for group in groups])
    rho, n, n_groups = label_correlation(sides), len(values), len(groups)
    together = sum(ranks[group].sum() ** 2 for group in groups) * n_groups / (n_groups - 1)
    alone = ranks @ ranks * n / (n - 1)
    permuted = holds.mean() * (1 - holds.mean()) * ((1 - rho) * alone + rho * together)
    over_patients = parts.sum() / (parts.std(ddof=1) * np.sqrt(n_groups))
    over_patients *= parts.std() / np.sqrt(np.mean(np.square(parts - parts.mean())))
    deviate = min(abs(over_patients), abs(parts.sum()) / np.sqrt(permuted))
    return 2 * student.sf(deviate, n_groups - 2)


def test_areas_are_exactly_those_of_scikit_learn(drawn):
    dense, targets, patients = drawn
    table = associate(sp.csr_array(dense), targets, patients)
    for column, target in enumerate(targets.values()):
        is_known, holds = known(target)
        expected = [roc_auc_score(holds[is_known], values[is_known]) for values in dense.T]
        assert table.auroc[:, column] == pytest.approx(expected, abs=1e-14)


def test_standard_errors_are_those_of_obuchowski(drawn):
    dense, targets, patients = drawn
    table = associate(sp.csc_array(dense), targets, patients)
    for column, target in enumerate(targets.values()):
        is_known, holds = known(target)
        given = holds[is_known], patients[is_known]
        expected = [max(obuchowski(values[is_known], *given), 0.0) ** 0.5 for values in dense.T]
        assert table.standard_error[:, column] == pytest.approx(expected, abs=1e-12)


def test_p_values_are_those_of_the_rank_score_over_all_images(drawn):
    dense, targets, patients = drawn
    table = associate(dense, targets, patients, min_patients=1)
    for column, target in enumerate(targets.values()):
        is_known, holds = known(target)
        given = holds[is_known], patients[is_known]
        expected = [rank_score_p_value(values[is_known], *given) for values in np.delete(dense, 2, axis=1).T]
        assert np.delete(table.p_value[:, column], 2) == pytest.approx(expected, abs=1e-9)


def test_without_patients_the_test_is_that_of_mann_and_whitney_or_more_careful():
    rng = np.random.default_rng(1)
    values, holds = rng.normal(size=(3000, 20)), rng.random(3000) < 0.4
    values[holds] += 0.1
    table = associate(values, {"t": holds}, None)
    given = {"method": "asymptotic", "use_continuity": False, "axis": 0}
    expected = mannwhitneyu(values[holds], values[~holds], **given).pvalue
    assert (table.p_value[:, 0] > expected * 0.99).all()
    assert np.log(table.p_value[:, 0]) == pytest.approx(np.log(expected), rel=0.05, abs=0.05)


def test_a_dead_latent_is_not_tested_and_has_the_area_of_chance(drawn):
    dense, targets, patients = drawn
    table = associate(dense, targets, patients)
    assert not table.is_tested[2].any()
    assert (table.auroc[2], table.p_value[2], table.q_value[2]) == (
        pytest.approx(0.5),
        pytest.approx(1.0),
        pytest.approx(1.0),
    )


def test_the_order_of_images_does_not_matter(drawn):
    dense, targets, patients = drawn
    order = np.random.default_rng(2).permutation(N_IMAGES)
    shuffled = {name: np.asarray(target)[order] for name, target in targets.items()}
    one = associate(dense, targets, patients)
    other = associate(dense[order], shuffled, patients[order])
    assert one.auroc == pytest.approx(other.auroc, abs=1e-14)
    assert one.p_value == pytest.approx(other.p_value, abs=1e-10)


@pytest.mark.parametrize(
    ("sides", "expected"), [([[4, 0], [0, 4]] * 5, 1.0), ([[2, 2]] * 10, 0.0), ([[1, 0], [0, 1]], 1.0)]
)
def test_labels_correlate_fully_where_each_patient_has_one(sides, expected):
    assert label_correlation(np.array(sides)) == pytest.approx(expected)


def null_study(seed: int, n_latents: int = 300):
    """Draw a study in which nothing is associated, and patients differ in their latents and in their label."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(30), 20)
    effect = rng.normal(size=(30, n_latents))[patients]
    active = rng.random((600, n_latents)) < expit(effect - 1.0)
    values = np.where(active, np.exp(effect + rng.normal(size=(600, n_latents))), 0.0)
    return values, {"disease": (rng.permutation(30) < 10)[patients]}, patients


def test_patients_do_not_inflate_the_tests_but_counting_images_would():
    """Under the null, any discovery is false: the rate of studies with one is the false discovery rate."""
    clustered, naive, p_values = [], [], []
    for seed in range(40):
        values, targets, patients = null_study(seed, n_latents=200)
        table = associate(values, targets, patients)
        clustered.append((table.q_value <= 0.05).any())
        p_values.append(table.p_value[:, 0])
        naive.append((associate(values, targets, None).q_value <= 0.05).mean())
    assert np.mean(clustered) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 40)
    assert 0.01 < np.mean(np.concatenate(p_values) < 0.05) < 0.055  # neither blown up nor without power
    assert np.mean(naive) > 0.2  # a fifth of all latents, although nothing is there


def test_rare_latents_and_rare_classes_do_not_inflate_the_tests():
    rng = np.random.default_rng(3)
    values = np.where(rng.random((1500, 2000)) < 0.01, rng.random((1500, 2000)), 0.0)
    table = associate(sp.csr_array(values), {"rare": rng.random(1500) < 0.03}, None)
    p_values = table.p_value[table.is_tested]
    assert len(p_values) > 1500
    assert all(np.mean(p_values < bound) < 1.3 * bound for bound in (0.1, 0.01, 0.001))


def test_planted_latents_are_found_and_the_others_hardly():
    values, targets, patients = null_study(0)
    values[:, :20] += 3.0 * targets["disease"][:, None]
    table = associate(values, targets, patients)
    assert table.significant[:20].all()
    assert table.significant[20:].sum() <= 3
    assert table.best("disease") < 20


@pytest.mark.parametrize("method", ["benjamini-hochberg", "benjamini-yekutieli"])
def test_all_latents_and_targets_are_one_family(drawn, method):
    dense, targets, patients = drawn
    table = associate(dense, targets, patients, method=method)
    least = table.p_value.min() * table.is_tested.sum()
    harmonic = np.sum(1 / np.arange(1, table.is_tested.sum() + 1)) if method.endswith("yekutieli") else 1.0
    assert table.q_value.min() <= least * harmonic * (1 + 1e-12)
    assert (table.q_value >= table.p_value).all()


def test_a_perfect_split_of_three_and_three_patients_is_no_discovery():
    patients = np.repeat(np.arange(6), 50)
    values = (patients >= 3)[:, None] + np.random.default_rng(0).random((300, 1))
    table = associate(values, {"t": patients >= 3}, patients)
    assert table.auroc[0, 0] == 1.0
    assert 0.05 < table.p_value[0, 0] < 0.2  # two of the twenty ways to split six patients: 0.1


def test_targets_of_a_single_patient_are_measured_but_not_tested():
    patients = np.repeat(np.arange(6), 50)
    values = np.random.default_rng(0).random((300, 4))
    table = associate(values, {"t": patients == 0}, patients)
    assert not table.is_tested.any()
    assert (table.standard_error == 0).all()
    assert table.best("t") == -1


def test_findings_are_the_significant_targets_strongest_first():
    values, targets, patients = null_study(1)
    targets["part"] = targets["disease"] & (np.arange(600) % 5 > 0)
    values[:, 0] += 5.0 * targets["disease"]
    found = associate(values, targets, patients).findings(0)
    assert [finding.target for finding in found] == ["disease", "part"]
    assert found[0].auroc > found[1].auroc
    assert found[0].n_positive == targets["disease"].sum()


def test_a_saved_table_comes_back(drawn):
    table = associate(*drawn, alpha=0.1)
    arrays = table.to_arrays()
    assert not any(array.dtype == object for array in arrays.values())
    again = AssociationTable.from_arrays(arrays)
    assert (again.targets, again.alpha) == (table.targets, 0.1)
    assert (again.q_value == table.q_value).all()


def test_what_is_no_matrix_of_numbers_is_refused():
    with pytest.raises(DataError, match="1 values that are no finite number"):
        checked_activations(np.array([[1.0, np.nan]]))
    with pytest.raises(DataError, match="activations cannot be tested"):
        checked_activations(sp.csr_array((0, 3)))


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ({}, CohortError, "there are no targets"),
        ({"t": np.ones(4, dtype=bool)}, CohortError, "the same in all images"),
        ({"t": np.array([0, 1, 2, 0])}, DataError, "does not fit the images"),
        ({"t": np.array([0, 1, 1])}, DataError, "does not fit the images"),
    ],
)
def test_targets_that_cannot_be_tested_are_refused(targets, error, message):
    with pytest.raises(error, match=message):
        associate(np.eye(4), targets, None)


def test_patients_of_other_images_are_refused():
    with pytest.raises(DataError, match="3 patients for 4 images"):
        associate(np.eye(4), {"t": np.array([0, 1, 1, 0])}, np.array(["a", "b", "c"]))
