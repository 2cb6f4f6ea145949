"""Dictionaries that learned nothing: perfect where they span all axes, as sparse as the one they stand beside."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from trilineage.core.errors import DataError
from trilineage.models.sae.controls import components, neurons, random_sae
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.settings import SaeSettings


def sample(n_tokens=300, width=6):
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(n_tokens, width, generator=draws) @ torch.randn(width, width, generator=draws)
    return x + torch.arange(width)


def trained(activation, width=6):
    model = SparseAutoencoder(width, SaeSettings(activation=activation, latents=40, k=5))
    model.encoder_bias.data.sub_(0.0 if activation == "topk" else 2.0)
    return model.eval()


@pytest.mark.parametrize("control", [neurons, components])
def test_axes_both_ways_reconstruct_perfectly(control):
    x = sample()
    assert torch.allclose(control(x)(x), x, atol=1e-4)


def test_neurons_are_distances_from_the_mean_axis_by_axis():
    x = sample()
    centred = x - x.mean(dim=0)
    expected = torch.cat([centred.relu(), (-centred).relu()], dim=1)
    assert torch.allclose(neurons(x).encode(x).dense(), expected, atol=1e-5)


def test_components_are_those_of_pca_by_falling_variance():
    x = sample()
    f = components(x, 3).encode(x).dense()
    expected = PCA(3).fit_transform(x.numpy())
    assert np.allclose(np.abs((f[:, :3] - f[:, 3:]).numpy()), np.abs(expected), atol=1e-3)
    rows = components(x, 3).encoder_weight[:3]
    assert (rows.gather(1, rows.abs().argmax(dim=1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("activation", ["topk", "relu", "jump_relu"])
def test_a_random_dictionary_is_as_active_as_the_one_beside_it(activation):
    x, like = sample(), trained(activation)
    random = random_sae(like, x, seed=1)
    assert random.encode(x).n_active == like.encode(x).n_active
    assert random.n_latents == like.n_latents
    assert torch.allclose(random.encoder_weight.norm(dim=1), torch.ones(40))


def test_the_seed_decides_the_directions():
    x, like = sample(), trained("relu")
    first, again, other = (random_sae(like, x, seed=seed).encoder_weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_samples_that_say_nothing_are_refused():
    silent = trained("relu")
    silent.encoder_bias.data.sub_(1e6)
    with pytest.raises(DataError, match="silent"):
        random_sae(silent, sample())
    with pytest.raises(DataError, match="1 tokens"):
        neurons(sample(1))
    with pytest.raises(DataError, match="1 of them not finite"):
        components(torch.cat([sample(), torch.full((1, 6), torch.nan)]))
