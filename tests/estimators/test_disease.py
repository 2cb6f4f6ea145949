"""The disease classifier as an estimator: patients whole, calibrated, repeatable, at home in searches."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trilineage import DiseaseClassifier
from trilineage.core.errors import ConfigError
from trilineage.estimators.inputs import validation_rows
from trilineage.evaluation.calibration import fit_temperature

QUICK = {"hidden": (16,), "epochs": 8, "batch_size": 64, "learning_rate": 0.1, "device": "cpu"}


def test_patients_are_held_out_whole_and_from_every_class(cells):
    _, labels, patients = cells
    codes = np.unique(labels, return_inverse=True)[1]
    is_valid = validation_rows(codes, patients, share=0.25, seed=0)
    assert set(patients[is_valid]) & set(patients[~is_valid]) == set()
    assert np.bincount(codes[is_valid]).tolist() == [10, 10, 10, 10]


def test_probabilities_are_calibrated_on_patients_that_did_not_train(cells):
    features, labels, patients = cells
    noisy = labels.copy()
    noisy[::4] = np.roll(labels, 40)[::4]
    model = DiseaseClassifier(**QUICK).fit(features, noisy, patients=patients)
    codes = np.unique(noisy, return_inverse=True)[1]
    is_valid = validation_rows(codes, patients, share=0.2, seed=0)
    logits = np.log(model.predict_proba(features[is_valid])) * model.temperature_
    expected = fit_temperature(logits, codes[is_valid], patients[is_valid])
    assert model.temperature_ != 1.0
    assert model.temperature_ == pytest.approx(expected, rel=1e-3)


def test_the_same_state_gives_the_same_numbers_and_another_one_others(cells):
    first, again, other = (
        DiseaseClassifier(random_state=state, **QUICK).fit(*cells[:2]).predict_proba(cells[0])
        for state in (1, 1, np.random.RandomState(2))
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.0


def test_a_fit_leaves_the_global_generators_alone(cells):
    np.random.seed(3)
    expected = np.random.RandomState(3).rand()
    DiseaseClassifier(**QUICK).fit(cells[0], cells[1])
    assert np.random.rand() == expected


def test_a_search_over_options_keeps_patients_whole_inside_and_outside(cells):
    features, labels, patients = cells
    grid = {"diseaseclassifier__kind": ["logistic", "feedforward"]}
    model = make_pipeline(StandardScaler(), DiseaseClassifier(**QUICK))
    search = GridSearchCV(model, grid, cv=GroupKFold(2), error_score="raise")
    search.fit(features, labels, groups=patients, diseaseclassifier__patients=patients)
    assert search.best_score_ > 0.9


def test_a_clone_has_the_options_and_nothing_else(cells):
    model = DiseaseClassifier(**QUICK).fit(cells[0], cells[1])
    copied = clone(model)
    assert copied.get_params() == model.get_params()
    assert not hasattr(copied, "classes_")


def test_graph_classifiers_work_too(cells):
    model = DiseaseClassifier("sign", **QUICK).fit(cells[0], cells[1], patients=cells[2])
    assert model.score(cells[0], cells[1]) > 0.9


def test_without_validation_nothing_is_calibrated(cells):
    model = DiseaseClassifier(validation_fraction=0.0, **QUICK).fit(cells[0], cells[1])
    assert (model.temperature_, model.n_iter_) == (1.0, 8)


@pytest.mark.parametrize("patients", [["P1"], np.zeros((160, 2))])
def test_patients_that_do_not_fit_the_rows_are_refused(cells, patients):
    with pytest.raises(ValueError, match=r"inconsistent numbers|reshape"):
        DiseaseClassifier(**QUICK).fit(cells[0], cells[1], patients=patients)


def test_one_class_is_refused_with_what_to_do(cells):
    with pytest.raises(ValueError, match="cannot learn from one class.*Add samples of another class"):
        DiseaseClassifier(**QUICK).fit(cells[0], np.repeat("AML", 160))


def test_options_that_cannot_work_are_those_of_the_package(cells):
    with pytest.raises(ConfigError, match="kind"):
        DiseaseClassifier("forest").fit(cells[0], cells[1])
