"""Layers over several processes: on one they are torch's, and shares of a batch add up to the batch."""

import pytest
import torch
from torch import nn

from trilineage.models.layers import BatchNorm1d, RowDropout, global_rows


def both_norms(n_features, **options):
    """Return torch's batch norm and ours with the same uneven weights."""
    torch.manual_seed(0)
    theirs, ours = nn.BatchNorm1d(n_features, **options), BatchNorm1d(n_features, **options)
    if theirs.affine:
        nn.init.normal_(theirs.weight)
        nn.init.normal_(theirs.bias)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def run(norm, x):
    """Return output, gradients and buffers of one training pass with an uneven loss."""
    x = x.clone().requires_grad_()
    y = norm(x)
    (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum().backward()
    gradients = [parameter.grad for parameter in norm.parameters()]
    return [y.detach(), x.grad, *gradients, *norm.buffers()]


def test_on_one_process_batch_norm_is_that_of_torch():
    theirs, ours = both_norms(5)
    x = torch.randn(7, 5) * 3 + 1
    assert all(torch.equal(a, b) for a, b in zip(run(theirs, x), run(ours, x), strict=True))
    theirs.eval(), ours.eval()
    assert torch.equal(theirs(x), ours(x))


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"momentum": None}, {"eps": 0.5}])
@pytest.mark.parametrize("shape", [(9, 4), (9, 4, 3)])
def test_summed_statistics_give_output_gradients_and_buffers_of_torch(monkeypatch, options, shape):
    """One process that has the whole batch stands for all of them; tests of training run two real ones."""
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: None)
    theirs, ours = both_norms(4, **options)
    for _ in range(2):
        x = torch.randn(shape) * 3 + 100
        expected = run(theirs, x)
        with global_rows(9, 0, 2):
            found = run(ours, x)
        for a, b in zip(expected, found, strict=True):
            torch.testing.assert_close(b, a, rtol=2e-4, atol=2e-4)


def test_a_single_row_is_normalised_by_the_running_statistics():
    norm = BatchNorm1d(3)
    norm(torch.randn(50, 3) + 4)
    before = norm.running_mean.clone()
    x = torch.randn(1, 3) + 4
    y = norm(x)
    norm.eval()
    assert torch.equal(y, norm(x))
    assert torch.equal(norm.running_mean, before)


def test_on_one_process_dropout_is_that_of_torch():
    x = torch.randn(6, 5)
    torch.manual_seed(1)
    expected = nn.Dropout(0.3)(x)
    torch.manual_seed(1)
    assert torch.equal(RowDropout(0.3)(x), expected)


@pytest.mark.parametrize("shape", [(7, 5), (8, 3, 2), (2, 4), (1, 4)])
def test_shares_of_three_processes_are_dropped_as_the_whole_batch_would_be(shape):
    x = torch.randn(shape)
    dropout = RowDropout(0.4)
    torch.manual_seed(1)
    whole = dropout(x)
    for rank in range(3):
        torch.manual_seed(1)
        with global_rows(shape[0], rank, 3):
            assert torch.equal(dropout(x[rank::3]), whole[rank::3])


def test_rows_that_are_no_share_are_dropped_as_on_one_process():
    x = torch.randn(10, 4)
    torch.manual_seed(1)
    whole = RowDropout(0.4)(x)
    torch.manual_seed(1)
    with global_rows(1, 0, 2):
        assert torch.equal(RowDropout(0.4)(x), whole)


def test_evaluation_drops_nothing():
    x = torch.randn(4, 3)
    with global_rows(8, 0, 2):
        assert torch.equal(RowDropout(0.9).eval()(x), x)


def test_global_rows_end_with_their_block():
    x = torch.randn(4, 3)
    with pytest.raises(ZeroDivisionError), global_rows(8, 0, 2):
        raise ZeroDivisionError
    torch.manual_seed(1)
    expected = nn.Dropout(0.5)(x)
    torch.manual_seed(1)
    assert torch.equal(RowDropout(0.5)(x), expected)
