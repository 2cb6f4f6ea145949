"""Attention over a patient's images: the published equation, patients apart, order without effect."""

import pytest
import torch
from torch import nn

from trilineage.models.pooling import AttentionPooling, PatientClassifier, softmax_by_patient

PATIENTS = torch.tensor([0, 0, 0, 2, 2])


@pytest.fixture
def pooling():
    torch.manual_seed(0)
    return AttentionPooling(4, hidden=6).eval()


@pytest.fixture
def features():
    return torch.randn(5, 4, generator=torch.Generator().manual_seed(1))


def test_it_is_the_equation_of_gated_attention(pooling, features):
    v, u = pooling.content, pooling.gate
    own = features[:3]
    scores = (
        torch.tanh(own @ v.weight.T + v.bias) * torch.sigmoid(own @ u.weight.T + u.bias)
    ) @ pooling.score.weight.T
    expected = (torch.softmax(scores[:, 0], dim=0)[:, None] * own).sum(dim=0)
    assert torch.allclose(pooling(features, PATIENTS, 3)[0], expected, atol=1e-6)


def test_weights_sum_to_one_over_the_images_of_a_patient(pooling, features):
    weights = pooling.attention(features, PATIENTS, 3)
    sums = torch.zeros(3).index_add(0, PATIENTS, weights)
    assert torch.allclose(sums, torch.tensor([1.0, 0.0, 1.0]))


def test_a_patient_of_one_image_is_that_image(pooling, features):
    assert torch.allclose(pooling(features[:1], torch.tensor([0]), 1), features[:1])


def test_the_order_of_images_has_no_effect(pooling, features):
    order = torch.tensor([4, 2, 0, 3, 1])
    assert torch.allclose(
        pooling(features, PATIENTS, 3), pooling(features[order], PATIENTS[order], 3), atol=1e-6
    )


def test_other_patients_have_no_effect(pooling, features):
    changed = features.clone()
    changed[3:] += 7.0
    assert torch.equal(pooling(features, PATIENTS, 3)[0], pooling(changed, PATIENTS, 3)[0])


def test_large_scores_do_not_overflow():
    scores = torch.tensor([1000.0, 999.0, -1000.0], requires_grad=True)
    weights = softmax_by_patient(scores, torch.tensor([0, 0, 1]), 2)
    assert torch.allclose(weights, torch.tensor([0.731059, 0.268941, 1.0]))
    weights[0].backward()
    assert float(scores.grad[0]) == pytest.approx(0.196612, abs=1e-5)


def test_it_learns_which_image_decides():
    """One image in four carries the label; the mean of the four hardly does."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 2
    patients = torch.arange(64).repeat_interleave(4)
    features = torch.randn(256, 8)
    features[::4, 0] = 6.0
    features[::4, 1] = 4.0 * labels - 2.0
    model = nn.ModuleDict({"pooling": AttentionPooling(8, hidden=16), "head": nn.Linear(8, 2)})
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(80):
        loss = nn.functional.cross_entropy(model["head"](model["pooling"](features, patients, 64)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weights = model["pooling"].attention(features, patients, 64).detach()
    assert float(weights[::4].mean()) > 0.6


def test_a_patient_classifier_gives_a_row_per_patient(pooling, features):
    class Head(nn.Module):
        def node_log_probabilities(self, pooled):
            return torch.log_softmax(pooled, dim=1)

    rows = PatientClassifier(pooling, Head())(features, PATIENTS, 3)
    assert rows.shape == (3, 4)
    assert torch.allclose(rows.exp().sum(dim=1), torch.ones(3))
