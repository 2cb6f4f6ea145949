"""Scores carry intervals over patients that repeat, cover, and are honest where there is nothing to say."""

from dataclasses import replace

import numpy as np
import pytest

from trilineage.core.errors import CohortError
from trilineage.core.records import Prediction
from trilineage.evaluation.intervals import aggregate_patients, pool_predictions, score_predictions
from trilineage.evaluation.metrics import METRICS, classification_metrics
from trilineage.evaluation.settings import EvaluationSettings

QUICK = EvaluationSettings(n_bootstrap=200)


def prediction_of(patients: list[str], labels: list[int], p_first: list[float]) -> Prediction:
    """Return a binary prediction by hand."""
    first = np.array(p_first)
    return Prediction(
        samples=np.arange(len(labels)).astype(str),
        patients=np.array(patients),
        classes=("aml", "healthy"),
        probabilities=np.stack([first, 1.0 - first], axis=1),
        labels=np.array(labels),
    )


def test_every_metric_is_scored_with_its_value_inside_its_interval(draw):
    prediction = draw(0)
    scores = {score.metric: score for score in score_predictions(prediction, settings=QUICK)}
    expected = classification_metrics(prediction.labels, prediction.probabilities)
    assert {name: score.value for name, score in scores.items()} == pytest.approx(expected)
    assert list(scores) == list(METRICS)
    assert all(score.low <= score.value <= score.high for score in scores.values())
    assert {score.n_patients for score in scores.values()} == {20}


def test_the_same_seed_gives_the_same_interval_and_another_another(draw):
    settings = QUICK.replace(metrics=("accuracy",))
    first, again, other = (score_predictions(draw(0), settings=settings, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_interval_is_over_patients_not_over_cells(draw):
    settings = QUICK.replace(metrics=("accuracy",))
    (few,) = score_predictions(draw(0, n_each=20), settings=settings)
    (many,) = score_predictions(draw(0, n_each=400), settings=settings)
    assert many.high - many.low > 0.5 * (few.high - few.low)


def test_a_higher_level_gives_a_wider_interval(draw):
    widths = []
    for level in (0.8, 0.95):
        (score,) = score_predictions(draw(0), settings=QUICK.replace(metrics=("accuracy",), level=level))
        widths.append(score.high - score.low)
    assert widths[0] < widths[1]


def test_patients_are_scored_by_their_mean_probability():
    prediction = prediction_of(["p", "p", "q"], [0, 0, 1], [0.9, 0.3, 0.2])
    patients = aggregate_patients(prediction)
    assert patients.patients.tolist() == ["p", "q"]
    assert patients.probabilities[:, 0] == pytest.approx([0.6, 0.2])
    assert patients.labels.tolist() == [0, 1]


def test_a_patient_with_two_labels_has_no_score_and_is_named():
    prediction = prediction_of(["p", "p", "q"], [0, 1, 1], [0.9, 0.3, 0.2])
    with pytest.raises(CohortError, match="several labels.*seen: p;"):
        score_predictions(prediction, unit="patient")


def test_patients_with_two_labels_can_be_scored_by_sample(draw):
    prediction = replace(draw(0), labels=np.random.default_rng(0).integers(0, 3, len(draw(0).samples)))
    (score,) = score_predictions(prediction, settings=QUICK.replace(metrics=("accuracy",)))
    assert "not stratified" in score.note
    assert score.low is not None


def test_samples_without_label_are_left_out_and_counted(draw):
    prediction = draw(0)
    labels = prediction.labels.copy()
    labels[:7] = -1
    (score,) = score_predictions(replace(prediction, labels=labels), settings=QUICK.replace(metrics=("mcc",)))
    assert score.n_samples == len(labels) - 7
    assert "7 samples without label left out" in score.note


@pytest.mark.parametrize("labels", [None, np.full(3, -1)])
def test_nothing_to_score_against_is_refused(labels):
    prediction = replace(prediction_of(["p", "p", "q"], [0, 0, 1], [0.9, 0.3, 0.2]), labels=labels)
    with pytest.raises(CohortError, match="no sample has a label"):
        score_predictions(prediction)


def test_one_patient_has_no_interval():
    scores = score_predictions(prediction_of(["p"] * 3, [0, 0, 1], [0.9, 0.3, 0.2]), settings=QUICK)
    assert all(score.low is None and "no interval: 1 patient" in score.note for score in scores)


def test_a_metric_that_cannot_be_computed_says_why():
    prediction = prediction_of(["p", "q", "r"], [0, 0, 0], [0.9, 0.3, 0.8])
    scores = {score.metric: score for score in score_predictions(prediction, settings=QUICK)}
    assert np.isnan(scores["auroc"].value)
    assert "one class only in the truth" in scores["auroc"].note
    assert "no sample of: healthy" in scores["accuracy"].note


def test_one_patient_per_class_still_has_an_interval_and_a_warning():
    prediction = prediction_of(["p", "q"], [0, 1], [0.9, 0.7])
    (score,) = score_predictions(prediction, settings=QUICK.replace(metrics=("accuracy",)))
    assert "classes with one patient" in score.note
    assert score.high - score.low > 0.5


def test_a_metric_that_most_resamples_lack_has_no_interval():
    prediction = prediction_of(["p", "q"], [0, 1], [0.9, 0.7])
    (score,) = score_predictions(prediction, settings=QUICK.replace(metrics=("auroc",)))
    assert (score.value, score.low, score.high) == (1.0, None, None)
    assert "most resamples of so few patients lack a class" in score.note


def test_a_perfect_score_has_the_exact_binomial_lower_end():
    prediction = prediction_of(list("pqrstu"), [0, 0, 0, 1, 1, 1], [0.9] * 3 + [0.1] * 3)
    (score,) = score_predictions(prediction, settings=QUICK.replace(metrics=("accuracy",)))
    assert score.low == pytest.approx(0.025 ** (1 / 6))
    assert "no error in any patient" in score.note


def test_a_constant_prediction_has_no_interval_where_resamples_do_not_differ():
    prediction = prediction_of(list("pqrs"), [0, 0, 1, 1], [0.6] * 4)
    (score,) = score_predictions(prediction, settings=QUICK.replace(metrics=("balanced_accuracy",)))
    assert (score.value, score.low) == (0.5, None)
    assert "every resample of the patients gives the same value" in score.note


def test_folds_are_pooled_in_order(draw):
    first, second = draw(0, n_patients=4), draw(1, n_patients=5)
    pooled = pool_predictions([first, second])
    assert len(pooled.samples) == len(first.samples) + len(second.samples)
    assert np.array_equal(pooled.labels[: len(first.samples)], first.labels)


def test_folds_of_different_classes_cannot_be_pooled(draw):
    with pytest.raises(CohortError, match="cannot be pooled"):
        pool_predictions([draw(0, n_classes=3), draw(0, n_classes=2)])


def test_intervals_cover_the_truth_in_about_95_of_100_simulated_studies(draw, unchecked):
    """The full simulation (1,000 studies, several designs) is benchmarks/bench_coverage.py."""
    shape = {"n_classes": 2, "n_each": 12, "signal": 1.2}
    settings = EvaluationSettings(n_bootstrap=400, metrics=("accuracy", "balanced_accuracy", "macro_f1"))
    large = draw(10**6, n_patients=20_000, **shape)
    truth = classification_metrics(large.labels, large.probabilities)
    holds = []
    for study in range(300):
        scores = score_predictions(draw(study, n_patients=40, **shape), settings=settings, seed=study)
        holds.append([score.low <= truth[score.metric] <= score.high for score in scores])
    shares = np.mean(holds, axis=0)
    assert ((shares > 0.92) & (shares < 0.98)).all()  # three standard errors of 300 studies around 95 %
