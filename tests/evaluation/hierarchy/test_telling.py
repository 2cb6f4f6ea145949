"""The images that tell: chosen by what the patient's probability would lose, held against leaving each one out."""

from dataclasses import replace

import numpy as np
import pytest

from trilineage.core.errors import CohortError
from trilineage.evaluation.hierarchy.decoding import decode
from trilineage.evaluation.hierarchy.patients import Decided, decide_patients
from trilineage.evaluation.hierarchy.telling import telling_images


@pytest.fixture
def of_aml(sure, leukemia):
    """Return images whose probability of AML is given, the rest ALL; their patients by letter."""

    def make(values, patients):
        prediction = sure(["AML"] * len(values), ["AML"] * len(values), list(patients))
        shares = np.zeros((len(values), 7))
        shares[:, 3], shares[:, 2] = values, 1 - np.array(values)
        return replace(prediction, probabilities=shares @ leukemia.leaf_sets.T)

    return make


def told(prediction, taxonomy, n_images, rule="mean"):
    decided = decide_patients(prediction, taxonomy, rule=rule)
    return telling_images(prediction, decided, taxonomy, n_images=n_images, rule=rule)


def test_the_strongest_images_come_first_and_a_third_may_speak_against(of_aml, leukemia):
    found = told(of_aml([0.6, 0.9, 0.2, 0.8, 0.7], "aaaaa"), leukemia, 3)
    assert found.images.tolist() == [1, 3, 2]
    assert found.speaks_for.tolist() == [True, True, False]
    assert found.of_patient == pytest.approx([0.64] * 3)


@pytest.mark.parametrize("rule", ["mean", "mode", "mean_log"])
def test_the_influence_is_what_the_patient_would_lose_without_the_image(of_aml, leukemia, rule):
    images = of_aml([0.6, 0.9, 0.2, 0.8, 0.7], "aaaaa")
    found = told(images, leukemia, 5, rule)
    for image, influence in zip(found.images, found.influence, strict=True):
        rest = of_aml(np.delete([0.6, 0.9, 0.2, 0.8, 0.7], image), "aaaa")
        without = decide_patients(rest, leukemia, rule=rule).prediction.probabilities[0, found.nodes[0]]
        assert influence == pytest.approx(found.of_patient[0] - without)


def test_no_image_is_shown_twice_and_patients_keep_their_own(of_aml, leukemia):
    found = told(of_aml([0.9, 0.2, 0.8, 0.7, 0.4, 0.9], "babaab"), leukemia, 4)
    assert sorted(found.images.tolist()) == sorted(set(found.images.tolist()))
    assert [("b" if row else "a") for row in found.patients] == ["babaab"[image] for image in found.images]


def test_an_only_image_has_no_influence_to_speak_of(of_aml, leukemia):
    found = told(of_aml([0.9], "a"), leukemia, 4)
    assert np.isnan(found.influence).all()
    assert found.speaks_for.tolist() == [True]


def test_for_a_patient_decided_for_the_root_the_likeliest_leaf_is_explained(of_aml, leukemia):
    images = of_aml([0.45, 0.6], "aa")
    prediction = decide_patients(images, leukemia, rule="mean").prediction
    found = telling_images(images, Decided(prediction, np.zeros(1, dtype=np.int64)), leukemia, n_images=2)
    assert leukemia.nodes[found.nodes[0]] == leukemia.nodes[decode(prediction.probabilities, leukemia)[0]]


def test_predictions_of_another_taxonomy_are_refused(of_aml, leukemia):
    images = of_aml([0.9], "a")
    decided = decide_patients(images, leukemia)
    with pytest.raises(CohortError):
        telling_images(replace(images, nodes=("x",) * len(images.nodes)), decided, leukemia, n_images=1)
