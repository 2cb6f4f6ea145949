"""Attributions agree with captum and with hand-computed cases, and their summaries with their definitions."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from scipy import stats
from torch import nn

from trilineage.explain.genes import (
    class_evidence,
    completeness_gap,
    integrated_gradients,
    patient_means,
    recovery,
    stability,
    tabulate_genes,
)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 3)).eval()


def cells(n_cells: int = 5) -> torch.Tensor:
    return torch.rand(n_cells, 12, generator=torch.Generator().manual_seed(1))


def test_integrated_gradients_equal_captums(network):
    inputs, baseline = cells(), torch.full((12,), 0.3)
    found = integrated_gradients(network, inputs, baseline, 1, n_steps=50)
    peer = IntegratedGradients(lambda x: class_evidence(network(x), 1))
    expected = peer.attribute(inputs, baseline[None].expand_as(inputs), n_steps=50, method="riemann_middle")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_linear_model_is_attributed_exactly():
    weight = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    found = integrated_gradients(
        lambda x: x @ weight.T, torch.tensor([[1.0, 2.0, 3.0]]), torch.zeros(3), 0, n_steps=1
    )
    # Evidence for class 0 is half of (logit 0 - logit 1): 0.5 * (x1 - 3 x2 + 2 x3).
    torch.testing.assert_close(found, torch.tensor([[0.5, -3.0, 3.0]]))


def test_attributions_add_up_to_the_evidence(network):
    inputs, baseline = cells(20), torch.zeros(12)
    found = integrated_gradients(network, inputs, baseline, 2, n_steps=64)
    assert completeness_gap(network, inputs, baseline, 2, attributions=found) < 1e-3
    assert completeness_gap(network, inputs, baseline, 2, attributions=2 * found) > 0.5


def test_evidence_ignores_what_a_softmax_ignores():
    logits = torch.tensor([[1.0, 2.0, 4.0]])
    torch.testing.assert_close(class_evidence(logits, 0), class_evidence(logits + 7, 0))


def test_patients_weigh_the_same_however_many_cells_they_gave():
    attributions = np.array([[1.0, 0.0], [3.0, 0.0], [8.0, 2.0]])
    means = patient_means(attributions, np.array(["a", "a", "b"]))
    np.testing.assert_allclose(means, [[2.0, 0.0], [8.0, 2.0]])


def test_the_interval_is_students_over_patients():
    means = np.array([[1.0], [2.0], [4.0], [5.0]])
    table = tabulate_genes(means)
    low, high = stats.t.interval(0.95, 3, loc=3.0, scale=stats.sem(means[:, 0]))
    np.testing.assert_allclose([table.low[0], table.high[0]], [low, high])
    assert table.share_of_patients[0] == 1.0


def test_one_patient_has_no_interval():
    table = tabulate_genes(np.array([[1.0, -2.0]]))
    assert np.isnan(table.low).all()
    assert table.order.tolist() == [1, 0]


def test_equal_rankings_are_perfectly_stable():
    ranking = np.random.default_rng(0).normal(size=400)
    found = stability([ranking, ranking, ranking])
    assert (found.rank_correlation, found.overlap) == (pytest.approx(1.0), 1.0)


def test_unrelated_rankings_overlap_as_by_chance():
    rng = np.random.default_rng(0)
    found = stability([rng.normal(size=2000) for _ in range(6)])
    assert abs(found.rank_correlation) < 0.05
    assert found.overlap == pytest.approx(found.overlap_by_chance, abs=0.02)


def test_a_perfect_ranking_recovers_the_truth_and_a_random_one_does_not():
    effects = np.zeros(1000)
    effects[:60] = 1.0
    perfect = recovery(np.where(effects > 0, 2.0, 0.1), effects)
    assert (perfect.auroc, perfect.precision_at_k, perfect.share_speaking_for) == (1.0, 1.0, 1.0)
    random = recovery(np.random.default_rng(0).normal(size=1000), effects)
    assert abs(random.auroc - 0.5) < 0.1


def test_a_class_that_changes_no_gene_has_no_recovery():
    assert recovery(np.ones(5), np.zeros(5)) is None
