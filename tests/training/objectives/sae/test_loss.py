"""The sparse loss and its gradients are those of the plain dense autoencoder."""

import pytest

from trilineage.training.objectives.sae import auxiliary
from trilineage.training.objectives.sae import loss as module
from trilineage.training.objectives.sae.loss import sae_loss

CASES = {
    "relu": {"activation": "relu", "sparsity": 0.01},
    "relu ghost": {"activation": "relu", "sparsity": 0.01, "auxiliary": "ghost", "n_dead": 30},
    "topk": {},
    "topk random encoder": {"encoder_start": "random"},
    "topk free decoder": {"unit_norm": False},
    "topk plain error": {"error": "plain"},
    "auxk": {"n_dead": 40, "auxiliary_k": 5},
    "auxk of fewer dead than wanted": {"n_dead": 3, "auxiliary_k": 5},
    "batch topk": {"activation": "batch_topk"},
    "batch topk auxk": {"activation": "batch_topk", "n_dead": 40},
    "jump": {"activation": "jump_relu", "threshold_start": 0.4, "bandwidth": 0.5, "sparsity": 0.05},
    "matryoshka": {"prefixes": (0.125, 0.5, 1.0)},
    "matryoshka batch topk auxk": {
        "activation": "batch_topk",
        "prefixes": (0.25, 1.0),
        "n_dead": 20,
        "auxiliary_k": 5,
    },
    "matryoshka relu": {"activation": "relu", "prefixes": (0.125, 0.5, 1.0), "error": "variance"},
    "matryoshka jump": {"activation": "jump_relu", "prefixes": (0.25, 1.0), "bandwidth": 0.3},
}


def ours(made, x, backend):
    made.zero_grad()
    found = sae_loss(made, x, backend=backend)
    (found.loss_sum / len(x)).backward()
    return found.loss_sum.item() / len(x), {name: p.grad for name, p in made.named_parameters()}


def require_equal(made, x, backend, plain, tolerance=1e-5):
    value, gradients = ours(made, x, backend)
    expected, reference = plain.gradients(made, x, exact=True)
    assert value == pytest.approx(expected, rel=1e-5)
    for name, gradient in reference.items():
        scale = gradient.abs().max()
        assert scale > 0, name
        assert (gradients[name] - gradient).abs().max() <= tolerance * scale, name


@pytest.fixture(autouse=True)
def well_conditioned_ghosts(plain, monkeypatch):
    """With 1e-6 as published the formula itself turns rounding errors of 1e-7 into 1e-4, in any implementation."""
    monkeypatch.setattr(auxiliary, "GHOST_EPS", 0.1)
    monkeypatch.setattr(plain, "GHOST_EPS", 0.1)


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_all_gradients_are_those_of_the_plain_dense_autoencoder(case, backend, plain):
    require_equal(plain.model(**CASES[case]), plain.tokens(), backend, plain)


@pytest.mark.parametrize("crowded", [0.0, 1.0])
@pytest.mark.parametrize("case", [case for case in CASES if "relu" in case or "jump" in case])
def test_dense_blocks_and_pairs_give_the_same_numbers(case, crowded, plain, monkeypatch):
    monkeypatch.setattr(module, "CROWDED", crowded)
    require_equal(plain.model(**CASES[case]), plain.tokens(), "auto", plain)


@pytest.mark.parametrize("case", ["relu ghost", "jump", "matryoshka relu"])
def test_a_small_budget_of_pairs_only_makes_more_pieces(case, plain, monkeypatch):
    monkeypatch.setattr(module, "CROWDED", 1.0)
    monkeypatch.setattr(module, "PAIR_BUDGET", 2000)
    require_equal(plain.model(**CASES[case]), plain.tokens(600), "auto", plain)


def test_ghost_gradients_with_the_published_constant_agree_as_far_as_single_precision_goes(
    plain, monkeypatch
):
    monkeypatch.setattr(auxiliary, "GHOST_EPS", 1e-6)
    monkeypatch.setattr(plain, "GHOST_EPS", 1e-6)
    require_equal(plain.model(**CASES["relu ghost"]), plain.tokens(), "auto", plain, tolerance=2e-3)
