"""Attention over a patient's images: learned from few marked cells, never from the patients it is tested on."""

import numpy as np
import pytest
import torch

from trilineage.core.errors import CohortError, MatrixError
from trilineage.core.seeding import generator, seed_everything
from trilineage.models.pooling import FlatHead, PatientClassifier
from trilineage.training.bags import (
    PatientBatches,
    attention_out_of_fold,
    attention_step,
    fit_attention,
    new_pooling,
)
from trilineage.training.place import Place
from trilineage.training.settings import TrainingSettings

WIDTH, N_PATIENTS = 6, 24
QUICK = TrainingSettings(epochs=40, batch_size=12, learning_rate=2e-2, optimizer="adamw", weight_decay=0.05)
PLACE = Place(0, torch.device("cpu"))
FOLDS = np.arange(N_PATIENTS)[None] // 2 % 2


def draw_bags(*, signal=8.0, seed=0):
    """Return images of patients of which one in eight carries the mark of the patient's class."""
    rng = generator(seed, "bags")
    labels = np.arange(N_PATIENTS) % 2
    codes = rng.permutation(np.repeat(np.arange(N_PATIENTS), 16))
    features = rng.normal(size=(len(codes), WIDTH)).astype(np.float32)
    marked = rng.random(len(codes)) < 0.125
    features[marked, labels[codes[marked]]] += signal
    return features, codes, labels


@pytest.fixture(scope="module")
def told():
    features, codes, labels = draw_bags()
    return attention_out_of_fold(
        features, codes, labels, FOLDS, n_classes=2, place=PLACE, settings=QUICK
    ), labels


def test_patients_it_never_saw_are_told_apart_by_few_cells(told):
    p, labels = told
    np.testing.assert_allclose(p.sum(axis=2), 1.0)
    assert (p.argmax(axis=2) == labels).mean() > 0.8


def test_the_images_of_a_tested_patient_change_no_other_prediction(told):
    features, codes, labels = draw_bags()
    features[codes == 5] += 100.0
    again = attention_out_of_fold(features, codes, labels, FOLDS, n_classes=2, place=PLACE, settings=QUICK)
    beside = (FOLDS[0] == FOLDS[0, 5]) & (np.arange(N_PATIENTS) != 5)
    np.testing.assert_array_equal(again[0, beside], told[0][0, beside])


def test_log_probabilities_of_a_flat_head_are_those_of_a_softmax():
    head = FlatHead(3, 4)
    features = torch.randn(5, 3)
    p = head.node_log_probabilities(features).exp()
    torch.testing.assert_close(p, torch.softmax(head.linear(features), dim=1))


def test_the_loss_of_a_batch_is_the_sum_over_its_patients():
    features, codes, labels = draw_bags()
    seed_everything(0)
    model = PatientClassifier(new_pooling(WIDTH), FlatHead(WIDTH, 2)).eval()
    batches = PatientBatches(features, codes, labels)
    both, *each = (attention_step(model, batches.take(np.array(rows))) for rows in ([3, 8], [3], [8]))
    assert both.weight == 2.0
    torch.testing.assert_close(both.loss_sum, sum(one.loss_sum for one in each))
    assert attention_step(model, batches.take(np.zeros(0, np.int64))).weight == 0.0


def test_a_patient_without_cells_and_vectors_that_are_no_numbers_are_refused():
    features, codes, labels = draw_bags()
    model = PatientClassifier(new_pooling(WIDTH), FlatHead(WIDTH, 2))
    with pytest.raises(CohortError, match="1 of 25 patients"):
        fit_attention(model, features, codes, np.append(labels, 0), place=PLACE)
    features[7, 1] = np.nan
    with pytest.raises(MatrixError, match="row 7"):
        attention_out_of_fold(features, codes, labels, FOLDS, n_classes=2, place=PLACE)
