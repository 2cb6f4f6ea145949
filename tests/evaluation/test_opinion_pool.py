"""The logarithmic opinion pool: what it must give back, and the weights that patients ask for."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from trilineage.core.errors import CohortError
from trilineage.evaluation.fusion import Evidence, align
from trilineage.evaluation.opinion_pool import Pool, cross_fit, fit_pool, weight_intervals

CLASSES = ("normal", "AML", "APML")
EVEN = np.full(3, 1 / 3)
PRIOR = np.array([0.5, 0.3, 0.2])


def evidence(lineage, probabilities, *, prior=EVEN, labels=None, patients=None):
    p = np.asarray(probabilities, dtype=float)
    names = np.array([f"p{row:04d}" for row in range(len(p))]) if patients is None else patients
    return Evidence(lineage, names, CLASSES, p, prior, labels)


def pool(lineages, weights, prior=EVEN):
    return Pool(tuple(lineages), CLASSES, prior, np.array(weights, dtype=float))


def witnesses(n=400, *, seed=0, strengths=(1.5, 1.5, 0.0)):
    """Lineages that err independently, with probabilities that are right under equal priors; 0 is pure noise."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), n // 3 + 1)[:n]
    found = []
    for number, strength in enumerate(strengths):
        scores = strength * np.eye(3)[labels] + rng.normal(size=(n, 3))
        logits = strength * scores if strength else scores  # noise is as sure of itself as the others
        found.append(evidence(f"m{number}", softmax(logits, axis=1), labels=labels))
    return found, labels


def test_one_lineage_of_weight_one_and_equal_priors_comes_back_as_it_is():
    said = [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]
    np.testing.assert_allclose(pool(["rna"], [1.0]).fuse(align([evidence("rna", said)])), said)


def test_the_prior_of_training_is_exchanged_for_that_of_the_pool():
    said = np.array([[0.2, 0.5, 0.3]])
    found = pool(["rna"], [1.0], PRIOR).fuse(align([evidence("rna", said)]))
    np.testing.assert_allclose(found, said * PRIOR / (said * PRIOR).sum())


def test_two_lineages_of_weight_one_are_a_product_of_experts():
    one, other = np.array([[0.7, 0.2, 0.1]]), np.array([[0.3, 0.6, 0.1]])
    both = align([evidence("rna", one), evidence("images", other)])
    np.testing.assert_allclose(pool(["rna", "images"], [1, 1]).fuse(both), one * other / (one * other).sum())


def test_a_lineage_that_says_its_prior_changes_nothing():
    one, idle = evidence("rna", [[0.7, 0.2, 0.1]]), evidence("images", [PRIOR], prior=PRIOR)
    alone = pool(["rna"], [0.8], PRIOR).fuse(align([one]))
    np.testing.assert_allclose(pool(["rna", "images"], [0.8, 3.0], PRIOR).fuse(align([one, idle])), alone)


def test_a_patient_whom_nobody_knows_gets_the_prior():
    idle = evidence("rna", [PRIOR], prior=PRIOR)
    np.testing.assert_allclose(pool(["rna"], [2.0], PRIOR).fuse(align([idle])), [PRIOR])


def test_the_order_of_the_lineages_does_not_matter():
    found, _ = witnesses(120)
    forward, backward = align(found), align(found[::-1])
    one, other = fit_pool(forward, PRIOR), fit_pool(backward, PRIOR)
    np.testing.assert_allclose(one.weights, other.weights[::-1], atol=1e-8)
    np.testing.assert_allclose(one.fuse(forward), other.fuse(backward), atol=1e-8)


def test_independent_witnesses_are_taken_at_their_word_and_noise_is_not_heard():
    found, _ = witnesses(3000)
    weights = fit_pool(align(found), EVEN).weights
    np.testing.assert_allclose(weights[:2], 1.0, atol=0.12)
    assert weights[2] < 0.03


def test_weights_are_those_of_a_general_solver():
    found, labels = witnesses(90, seed=4)
    aligned, penalty = align(found), 2.0

    def loss(weights):
        log_p = log_softmax(np.log(PRIOR) + np.tensordot(weights, aligned.ratios, axes=1), axis=1)
        return -log_p[np.arange(90), labels].sum() + penalty / 2 * ((weights - 1 / 3) ** 2).sum()

    expected = minimize(loss, np.full(3, 0.5), bounds=[(0, None)] * 3, method="L-BFGS-B").x
    np.testing.assert_allclose(fit_pool(aligned, PRIOR, penalty=penalty).weights, expected, atol=1e-4)


def test_a_lineage_that_misleads_is_silenced_and_never_turned_around():
    found, labels = witnesses(300, strengths=(1.5, 1.5))
    wrong = evidence("wrong", softmax(2.0 * np.eye(3)[(labels + 1) % 3], axis=1), labels=labels)
    assert fit_pool(align([*found, wrong]), EVEN).weights[2] == 0.0


def test_few_patients_hold_the_weights_at_equal_shares():
    found, _ = witnesses(400)
    few = align([evidence(one.lineage, one.probabilities[:1], labels=one.labels[:1]) for one in found])
    np.testing.assert_allclose(fit_pool(few, EVEN, penalty=100.0).weights, 1 / 3, atol=0.02)


def test_patients_without_a_label_do_not_weigh():
    found, labels = witnesses(200)
    half = [evidence(one.lineage, one.probabilities[:120], labels=labels[:120]) for one in found]
    unknown = np.where(np.arange(200) < 120, labels, -1)
    whole = [evidence(one.lineage, one.probabilities, labels=unknown) for one in found]
    fitted = fit_pool(align(whole), EVEN)
    np.testing.assert_allclose(fitted.weights, fit_pool(align(half), EVEN).weights, atol=1e-8)
    assert fitted.n_patients == 120


def test_a_lineage_without_validation_patients_keeps_its_share():
    found, _ = witnesses(60, strengths=(1.5,))
    other = evidence("images", [[0.2, 0.2, 0.6]], labels=np.array([-1]), patients=np.array(["new"]))
    assert fit_pool(align([*found, other]), EVEN).weights[1] == pytest.approx(0.5)


def test_no_labelled_patient_is_refused():
    found = evidence("rna", [[0.7, 0.2, 0.1]])
    with pytest.raises(CohortError, match="no labelled patient"):
        fit_pool(align([found]), EVEN)


def test_a_pool_is_not_applied_to_other_lineages():
    with pytest.raises(CohortError, match="not made for"):
        pool(["rna"], [1.0]).fuse(align([evidence("images", [[0.7, 0.2, 0.1]])]))


def test_cross_fitting_leaves_the_patient_out_of_its_own_weights():
    found, _ = witnesses(30, seed=2)
    aligned = align(found)
    honest = cross_fit(aligned, EVEN, penalty=1.0, n_folds=30, seed=0)
    without = np.arange(30) != 7
    own = fit_pool(aligned, EVEN, counts=without.astype(float))
    np.testing.assert_allclose(honest[7], own.fuse(aligned)[7], atol=1e-9)
    assert not np.allclose(honest, fit_pool(aligned, EVEN).fuse(aligned))


def test_one_labelled_patient_cannot_be_cross_fitted_and_is_fused_as_it_is():
    aligned = align([evidence("rna", [[0.7, 0.2, 0.1]], labels=np.array([0]))])
    honest = cross_fit(aligned, EVEN, penalty=1.0, n_folds=5, seed=0)
    np.testing.assert_allclose(honest, fit_pool(aligned, EVEN).fuse(aligned))


def test_intervals_of_weights_hold_the_weights_and_the_same_seed_gives_the_same():
    aligned = align(witnesses(90)[0])
    ends = weight_intervals(aligned, EVEN, penalty=1.0, n_resamples=60, seed=1)
    weights = fit_pool(aligned, EVEN).weights
    assert (ends[:, 0] <= weights).all()
    assert (weights <= ends[:, 1]).all()
    np.testing.assert_array_equal(ends, weight_intervals(aligned, EVEN, penalty=1.0, n_resamples=60, seed=1))
