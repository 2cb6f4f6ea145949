"""Training through the one loop: the weights of plain dense Adam, exact resuming, several models in one pass."""

import numpy as np
import pytest
import torch

from trilineage.core.errors import ConfigError, DataError, Interrupted
from trilineage.data.tokens.batches import TokenBatches
from trilineage.models.sae.model import SaeBundle
from trilineage.training.loop import train
from trilineage.training.objectives.sae.step import sae_step
from trilineage.training.optim import rate_groups
from trilineage.training.settings import TrainingSettings

CPU = torch.device("cpu")
RECIPES = {
    "topk auxk": {"n_dead": 30, "auxiliary_k": 5},
    "relu": {"activation": "relu", "sparsity": 0.01, "auxiliary": "none"},
    "batch topk": {"activation": "batch_topk", "auxiliary": "none"},
    "jump": {"activation": "jump_relu", "threshold_start": 0.4, "bandwidth": 0.5, "auxiliary": "none"},
    "matryoshka": {"prefixes": (0.125, 0.5, 1.0), "n_dead": 30, "auxiliary_k": 5},
}


class InOrder(TokenBatches):
    """Tokens in the order in which they are."""

    def order(self, *, seed, epoch):
        return np.arange(len(self))


def fit(made, x, *, batches=TokenBatches, step=None, folder=None, **options):
    values = {"epochs": 2, "batch_size": 50, "learning_rate": 0.003, "checkpoint_every_s": 0.0} | options
    settings = TrainingSettings(**values)
    step = sae_step() if step is None else step
    train(made, step, batches(x.numpy()), settings, seed=3, device=CPU, checkpoints_dir=folder)
    return made


def weights(made):
    return {name: value.clone() for name, value in made.state_dict().items()}


@pytest.mark.parametrize("name", RECIPES)
def test_several_adam_steps_end_with_the_weights_of_plain_dense_training(name, plain):
    """The decoder bias has a gradient in every step; what a latent without gradient does is Adam's own momentum."""
    x = plain.tokens(250)
    ours = fit(plain.model(**RECIPES[name]), x, batches=InOrder, epochs=1)
    theirs = plain.train(plain.model(**RECIPES[name]), x, n_steps=5, batch=50, learning_rate=0.003)
    for key, value in theirs.named_parameters():
        moved = (value - dict(plain.model(**RECIPES[name]).named_parameters())[key]).abs().max()
        assert (dict(ours.named_parameters())[key] - value).abs().max() <= 1e-3 * moved, key
    assert torch.equal(ours.steps_silent, theirs.steps_silent)


@pytest.mark.parametrize("name", ["topk auxk", "batch topk", "jump"])
def test_training_goes_on_after_a_stop_to_the_same_bytes(name, plain, tmp_path):
    x, steps = plain.tokens(250), []

    def stops_once(model, batch):
        steps.append(1)
        if len(steps) == 4:
            raise Interrupted("stopped")
        return sae_step()(model, batch)

    with pytest.raises(Interrupted):
        fit(plain.model(**RECIPES[name]), x, step=stops_once, folder=tmp_path)
    resumed = weights(fit(plain.model(**RECIPES[name]), x, folder=tmp_path))
    straight = weights(fit(plain.model(**RECIPES[name]), x))
    assert all(torch.equal(resumed[key], value) for key, value in straight.items())


def test_models_of_a_bundle_learn_as_if_each_were_alone(plain):
    x = plain.tokens(250)
    options = [{"k": 4}, {"k": 8, "seed": 2}, {"activation": "relu"}]
    bundle = fit(SaeBundle([plain.model(**o) for o in options]), x)
    for member, option in zip(bundle.members, options, strict=True):
        alone = weights(fit(plain.model(**option), x))
        assert all(torch.equal(alone[key], value) for key, value in weights(member).items())


def test_wider_models_of_a_bundle_learn_more_slowly(plain):
    bundle = SaeBundle([plain.model(expansion=8), plain.model(expansion=32)])
    scales = {
        len(p): group.scale
        for group in rate_groups(bundle, TrainingSettings())
        for p in group.parameters
        if p.ndim == 2
    }
    assert scales == {128: 1.0, 512: 0.5}


def test_training_leaves_decoder_rows_at_norm_1(plain):
    made = fit(plain.model(), plain.tokens(250))
    norms = made.decoder_weight.norm(dim=1)
    assert torch.allclose(norms, torch.ones_like(norms), atol=1e-6)


def test_training_lowers_the_loss_on_tokens_it_has_not_seen(plain):
    made, held_out = plain.model(k=4), plain.tokens(300, seed=1)
    before = (made(held_out) - held_out).square().mean()
    fit(made, plain.tokens(1000), epochs=4, learning_rate=0.01)
    assert (made(held_out) - held_out).square().mean() < 0.5 * before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_token_that_is_no_number_is_named_by_its_position(value, plain):
    x = plain.tokens(100)
    x[42, 3] = value
    with pytest.raises(DataError, match="position 42"):
        fit(plain.model(), x)


def test_another_model_is_refused():
    batch = TokenBatches(np.zeros((2, 3), np.float32)).take(np.arange(2))
    with pytest.raises(ConfigError, match="sparse autoencoders"):
        sae_step()(torch.nn.Linear(3, 3), batch)


def test_half_precision_tokens_are_learned_from_in_single_precision():
    batch = TokenBatches(np.ones((4, 3), np.float16)).take(np.array([2, 0]))
    assert (batch.tokens.dtype, batch.positions.tolist()) == (torch.float32, [2, 0])


def test_validation_mode_leaves_the_statistics_of_training_alone(plain):
    made = plain.model().eval()
    with torch.no_grad():
        sae_step()(made, TokenBatches(plain.tokens().numpy()).take(np.arange(20)))
    assert int(made.steps_silent.sum()) == 0
