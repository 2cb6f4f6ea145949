"""Weights by hand, losses against scikit-learn, minibatches, and every kind of classifier through the one loop."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from trilineage.core.errors import CohortError
from trilineage.models.classifiers import ClassifierSettings, build_classifier
from trilineage.models.graph import GraphSettings
from trilineage.models.transformer import TransformerSettings
from trilineage.training.loop import train
from trilineage.training.objectives.classification import (
    ClassificationBatch,
    LatentBatches,
    classification_batches,
    classification_losses,
    classification_step,
    sample_weights,
)
from trilineage.training.settings import TrainingSettings

KINDS = ["logistic", "feedforward", "transformer", "gcn", "sign"]


def separable(n_cells=90, width=8, seed=0):
    """Latents around one centre per class, with classes and six patients."""
    draw = np.random.default_rng(seed)
    labels, patients = np.arange(n_cells) % 3, np.arange(n_cells) % 6
    centres = 3 * np.eye(3, width)
    latent = centres[labels] + draw.normal(size=(n_cells, width))
    return torch.from_numpy(latent.astype(np.float32)), labels, patients


def trained(kind, *, epochs=60, graph=None):
    torch.manual_seed(0)
    latent, labels, patients = separable()
    settings = ClassifierSettings(
        kind=kind,
        hidden=(16,),
        transformer=TransformerSettings(token_width=4, embed_dim=16, hidden=16, n_layers=1),
        graph=graph or GraphSettings(n_neighbours=5),
    )
    classifier = build_classifier(settings, 8, 3)
    batches = classification_batches(classifier.fit_inputs(latent, patients=patients), labels)
    options = TrainingSettings(epochs=epochs, batch_size=32, learning_rate=1e-2)
    train(classifier.head, classification_step, batches, options, seed=0, device=torch.device("cpu"))
    return classifier


def test_class_weights_by_hand():
    labels, patients = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 2])
    np.testing.assert_allclose(sample_weights(labels, patients, weighting="class"), [2 / 3, 2 / 3, 2 / 3, 2])


def test_donor_weights_by_hand():
    labels, patients = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 2])
    found = sample_weights(labels, patients, weighting="donor")
    np.testing.assert_allclose(found, [4 / 3, 2 / 3, 2 / 3, 4 / 3])


def test_class_and_donor_weights_by_hand():
    labels, patients = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 2])
    found = sample_weights(labels, patients, weighting="class_donor")
    np.testing.assert_allclose(found, [1, 0.5, 0.5, 2])


def test_a_patient_of_two_classes_counts_in_each():
    labels, patients = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    found = sample_weights(labels, patients, weighting="class_donor")
    np.testing.assert_allclose(found, [1, 1, 1, 1])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=60))
def test_weights_average_one_and_give_classes_and_their_donors_the_same_say(pairs):
    labels, patients = np.array(pairs).T
    weights = sample_weights(labels, patients, weighting="class_donor")
    sums = {
        (c, p): weights[(labels == c) & (patients == p)].sum()
        for c, p in {(int(c), int(p)) for c, p in pairs}
    }
    per_class = [weights[labels == c].sum() for c in np.unique(labels)]
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(per_class, len(labels) / len(per_class))
    for label in np.unique(labels):
        within = [total for (c, _), total in sums.items() if c == label]
        np.testing.assert_allclose(within, within[0])


def test_no_samples_cannot_be_weighed():
    with pytest.raises(CohortError, match="no samples"):
        sample_weights(np.zeros(0, int), np.zeros(0, int), weighting="class")


def test_the_weighted_loss_equals_scikit_learns():
    draw = np.random.default_rng(0)
    logits = torch.from_numpy(draw.normal(size=(20, 3)).astype(np.float32))
    labels, weights = draw.integers(0, 3, 20), draw.random(20).astype(np.float32)
    batch = ClassificationBatch(logits, torch.from_numpy(labels), torch.from_numpy(weights))
    output = classification_step(torch.nn.Identity(), batch)
    expected = log_loss(labels, torch.softmax(logits, 1).numpy(), sample_weight=weights, labels=[0, 1, 2])
    assert float(output.loss_sum / output.weight) == pytest.approx(expected, rel=1e-5)


def test_a_single_logit_has_the_loss_of_two_columns():
    logit, labels = torch.randn(9, 1), torch.arange(9) % 2
    two = torch.cat([torch.zeros_like(logit), logit], dim=1)
    torch.testing.assert_close(classification_losses(logit, labels), classification_losses(two, labels))


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    latent, labels, _ = separable()
    first, second = LatentBatches(latent, labels), LatentBatches(latent.clone(), labels)
    order = first.order(seed=1, epoch=2)
    assert sorted(order.tolist()) == list(range(90))
    assert order.tobytes() == second.order(seed=1, epoch=2).tobytes()
    assert (order != first.order(seed=1, epoch=3)).any()
    assert (order != first.order(seed=2, epoch=2)).any()


def test_a_minibatch_holds_the_rows_asked_for():
    latent, labels, _ = separable()
    weights = np.linspace(0, 1, 90)
    batch = LatentBatches(latent, labels, weights=weights).take(np.array([5, 0]))
    assert torch.equal(batch.inputs, latent[[5, 0]])
    assert batch.labels.tolist() == [labels[5], labels[0]]
    np.testing.assert_allclose(batch.weights, weights[[5, 0]], rtol=1e-6)


def test_a_process_without_a_share_of_the_graph_weighs_nothing():
    latent, labels, _ = separable()
    classifier = build_classifier(ClassifierSettings(kind="gcn"), 8, 3)
    batches = classification_batches(classifier.fit_inputs(latent), labels)
    output = classification_step(classifier.head, batches.take(np.zeros(0, int)))
    assert (output.loss_sum.item(), float(output.weight)) == (0.0, 0.0)


def test_a_thinned_graph_learns_from_the_labels_of_its_own_cells():
    latent, labels, patients = separable()
    settings = ClassifierSettings(kind="gcn", graph=GraphSettings(max_reference=30))
    inputs = build_classifier(settings, 8, 3).fit_inputs(latent, patients=patients)
    batch = classification_batches(inputs, labels, weights=labels + 1.0).take(np.zeros(1, int))
    assert batch.labels.tolist() == labels[inputs.positions].tolist()
    assert torch.equal(batch.weights, batch.labels + 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_separable_classes(kind):
    latent, labels, _ = separable(seed=1)
    found = trained(kind)(latent).argmax(dim=1)
    assert (found.numpy() == labels).mean() > 0.85


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_weights(kind):
    first, second = (trained(kind, epochs=2).state_dict() for _ in range(2))
    assert all(first[name].numpy().tobytes() == second[name].numpy().tobytes() for name in first)


def test_logistic_regression_reaches_scikit_learns_loss():
    torch.manual_seed(0)
    latent, labels, _ = separable(300)
    labels = np.where(np.random.default_rng(1).random(300) < 0.2, (labels + 1) % 3, labels)
    classifier = build_classifier(ClassifierSettings(kind="logistic"), 8, 3)
    inputs = classifier.fit_inputs(latent)
    options = TrainingSettings(epochs=150, batch_size=300, learning_rate=5e-2)
    batches = classification_batches(inputs, labels)
    train(classifier.head, classification_step, batches, options, seed=0, device=torch.device("cpu"))
    ours = classification_losses(classifier(latent), torch.from_numpy(labels)).mean()
    theirs = LogisticRegression(C=1e6, max_iter=1000).fit(inputs.numpy(), labels)
    assert ours.item() == pytest.approx(log_loss(labels, theirs.predict_proba(inputs.numpy())), abs=1e-3)
