"""The autoencoder as a model: its start, its checks, its statistics, its weights in and out."""

import numpy as np
import pytest
import torch

from trilineage.core.errors import ConfigError, DataError
from trilineage.core.seeding import generator
from trilineage.models.sae.exchange import from_model, to_model
from trilineage.models.sae.model import SaeBundle, SparseAutoencoder
from trilineage.models.sae.settings import PUBLISHED_CYTOSAE, SaeSettings
from trilineage.models.sae.start import geometric_median, start_from_tokens


def tokens(n_tokens=500, width=8):
    rng = generator(0, "tokens")
    return torch.from_numpy((rng.normal(size=(n_tokens, width)) + np.arange(width)).astype(np.float32))


def model(seed=0, **options):
    return SparseAutoencoder(8, SaeSettings(**({"expansion": 4, "k": 3} | options)), seed=seed)


def test_the_same_seed_gives_the_same_start_and_another_seed_another():
    assert torch.equal(model(1).decoder_weight, model(1).decoder_weight)
    assert not torch.equal(model(1).decoder_weight, model(2).decoder_weight)


def test_a_tied_start_has_the_decoder_as_encoder_and_a_random_one_has_not():
    tied, random = model(), model(encoder_start="random")
    assert torch.equal(tied.encoder_weight, tied.decoder_weight)
    assert not torch.equal(random.encoder_weight, random.decoder_weight)
    assert torch.allclose(random.decoder_weight.norm(dim=1), torch.ones(32))


def test_the_decoder_bias_starts_at_the_middle_of_the_tokens():
    x = tokens()
    x[:20] += 1000.0
    mean, median, zero = (model(bias_start=start) for start in ("mean", "geometric_median", "zero"))
    for made in (mean, median, zero):
        start_from_tokens(made, x)
    assert torch.allclose(mean.decoder_bias, x.mean(dim=0), rtol=1e-5)
    assert torch.allclose(median.decoder_bias, torch.arange(8.0), atol=0.3)
    assert not zero.decoder_bias.any()
    assert float(zero.token_variance) == pytest.approx(float(x.double().var(dim=0, correction=0).sum()))


def test_the_geometric_median_has_the_smallest_sum_of_distances():
    x = tokens(50).double()
    total = lambda point: float((x - point).norm(dim=1).sum())  # noqa: E731
    median = geometric_median(x)
    draws = torch.Generator().manual_seed(0)
    nearby = [median + 0.01 * torch.randn(8, generator=draws, dtype=torch.float64) for _ in range(20)]
    assert all(total(median) < total(point) for point in nearby)


def test_a_start_at_data_points_has_rows_towards_tokens():
    made, x = model(decoder_start="data"), tokens(20)
    start_from_tokens(made, x)
    rows = x - made.decoder_bias.detach()
    cosines = made.decoder_weight.detach() @ (rows / rows.norm(dim=1, keepdim=True)).T
    assert torch.allclose(cosines.max(dim=1).values, torch.ones(32), atol=1e-5)
    assert len(set(cosines.argmax(dim=1)[:20].tolist())) == 20
    assert torch.equal(made.encoder_weight, made.decoder_weight)


def test_a_start_needs_tokens():
    with pytest.raises(DataError, match="a start needs tokens"):
        start_from_tokens(model(), tokens(1))


def test_more_active_latents_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="k = 33 of 32 latents"):
        model(k=33)
    assert model(k=33, activation="relu").n_latents == 32


@pytest.mark.parametrize("prefixes", [(0.5,), (0.5, 0.25, 1.0), (0.0, 1.0)])
def test_prefixes_that_do_not_rise_to_all_are_refused(prefixes):
    with pytest.raises(ConfigError, match="rise to 1"):
        SaeSettings(prefixes=prefixes)


def test_a_prefix_without_a_latent_of_its_own_is_refused():
    with pytest.raises(ConfigError, match="no latent of its own"):
        model(prefixes=(0.5, 0.501, 1.0))


def test_the_published_settings_are_those_of_the_paper():
    settings = SaeSettings(**PUBLISHED_CYTOSAE)
    assert (settings.n_latents(768), settings.error_scale, settings.auxiliary) == (49_152, "norm", "ghost")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_token_that_is_no_number_is_named(value):
    x = tokens()
    x[123, 4] = value
    with pytest.raises(DataError, match="token at position 123"):
        model().encode(x)


def test_large_finite_tokens_are_welcome():
    x = torch.full((2, 8), 3e38)
    model().require(x)


def test_tokens_of_another_width_are_refused():
    with pytest.raises(DataError, match=r"shape \(5, 9\)"):
        model().encode(torch.zeros(5, 9))


def test_silent_latents_are_counted_and_become_dead():
    made = model(dead_after_steps=2)
    counts = torch.zeros(32, dtype=torch.int64)
    counts[3] = 1
    for _ in range(3):
        made.note_(counts, None)
    assert made.dead().tolist() == [latent for latent in range(32) if latent != 3]


def test_the_threshold_of_a_batch_topk_starts_at_the_first_batch_and_follows_slowly():
    made, counts = model(activation="batch_topk"), torch.ones(32, dtype=torch.int64)
    made.note_(counts, 2.0)
    made.note_(counts, 3.0)
    assert float(made.threshold) == pytest.approx(2.001)
    codes = made.eval().encode(tokens())
    assert codes.values.min() > 2.001


@pytest.mark.parametrize("activation", ["relu", "topk", "batch_topk", "jump_relu"])
def test_weights_go_out_and_come_back_with_equal_codes(activation):
    made = model(activation=activation, threshold_start=0.5)
    made.threshold.fill_(0.5 if activation == "batch_topk" else 0.0)
    with torch.no_grad():
        made.encoder_bias.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(0))
        if made.log_threshold is not None:
            made.log_threshold[3] = 0.1
    again = to_model(from_model(made).checked(width=8))
    assert torch.allclose(again.encode(tokens()).dense(), made.encode(tokens()).dense(), atol=1e-6)


def test_a_batch_topk_that_was_never_trained_has_nothing_to_give():
    with pytest.raises(ConfigError, match="no threshold yet"):
        from_model(model(activation="batch_topk"))


def test_a_bundle_holds_models_on_the_same_tokens():
    other = SparseAutoencoder(9, SaeSettings(expansion=4, k=3))
    with pytest.raises(ConfigError, match=r"widths \[8, 9\]"):
        SaeBundle([model(), other])
