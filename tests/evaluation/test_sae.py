"""Figures of a reconstruction: known values, streamed in any portions, saved, merged and gone on with."""

import numpy as np
import pytest

from trilineage.core.errors import ConfigError, DataError
from trilineage.core.seeding import generator
from trilineage.evaluation.sae import CodedTokens, ReconstructionTally, loss_recovered

WIDTH, N_LATENTS = 4, 30


def coded(n_tokens=200, *, offset=0.0, seed=0):
    rng = generator(seed, "coded")
    tokens = rng.normal(size=(n_tokens, WIDTH)) + offset
    counts = rng.integers(0, 4, n_tokens)
    latents = np.concatenate([np.sort(rng.choice(20, n, replace=False)) for n in counts]).astype(np.int32)
    return CodedTokens(
        tokens,
        tokens + 0.5 * rng.normal(size=tokens.shape),
        np.concatenate([[0], np.cumsum(counts)]),
        latents,
        rng.random(len(latents)) + 0.1,
        rng.random(n_tokens) < 0.2,
    )


def part(whole, start, stop):
    first, last = whole.indptr[start], whole.indptr[stop]
    return CodedTokens(
        whole.tokens[start:stop],
        whole.reconstruction[start:stop],
        whole.indptr[start : stop + 1] - first,
        whole.latents[first:last],
        whole.values[first:last],
        whole.is_cls[start:stop],
    )


def tally(*portions):
    made = ReconstructionTally(WIDTH, N_LATENTS)
    for portion in portions:
        made.add(portion)
    return made


def test_predicting_the_mean_explains_nothing_and_predicting_the_token_everything():
    whole = coded(offset=100.0)
    mean = np.broadcast_to(whole.tokens.mean(axis=0), whole.tokens.shape)
    assert tally(whole._replace(reconstruction=mean)).scores().explained_variance == pytest.approx(
        0, abs=1e-12
    )
    assert tally(whole._replace(reconstruction=whole.tokens)).scores().explained_variance == 1.0


def test_figures_are_those_of_the_definitions():
    whole, scores = coded(), tally(coded()).scores()
    distance = np.square(whole.tokens - whole.tokens.mean(axis=0)).sum()
    assert scores.fvu == pytest.approx(np.square(whole.tokens - whole.reconstruction).sum() / distance)
    assert scores.l0 == pytest.approx(len(whole.values) / 200)
    assert scores.l1 == pytest.approx(whole.values.sum() / 200)
    n_used = len(np.unique(whole.latents))
    assert scores.dead_share == pytest.approx(1 - n_used / N_LATENTS)


def test_a_latent_in_more_than_a_tenth_of_the_tokens_is_dense():
    n = 20
    latents = np.array([0, 1, 0, 1, 0])  # latent 0 in 3 of 20 tokens, latent 1 in 2 of 20
    indptr = np.minimum(np.arange(n + 1), 5)
    tokens = generator(0, "x").normal(size=(n, WIDTH))
    scores = tally(CodedTokens(tokens, tokens, indptr, latents, np.ones(5))).scores()
    assert scores.dense_share == pytest.approx(1 / N_LATENTS)


def test_cls_and_patches_are_counted_apart():
    whole = coded()
    only = whole.tokens[whole.is_cls]
    error = np.square(only - whole.reconstruction[whole.is_cls]).sum()
    made = tally(whole)
    assert made.scores("cls").fvu == pytest.approx(error / np.square(only - only.mean(axis=0)).sum())
    assert made.scores("cls").n_tokens + made.scores("patch").n_tokens == made.scores().n_tokens


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_any_portions_give_the_figures_of_the_whole(offset):
    whole = coded(offset=offset)
    portions = [part(whole, *bounds) for bounds in ((0, 1), (1, 60), (60, 200))]
    assert list(tally(*portions).scores().to_dict().values()) == pytest.approx(
        list(tally(whole).scores().to_dict().values()), rel=1e-9
    )


def test_a_saved_tally_goes_on_and_merges_as_if_it_had_never_stopped():
    whole = coded()
    first, second = part(whole, 0, 90), part(whole, 90, 200)
    resumed = ReconstructionTally.from_arrays(tally(first).to_arrays())
    resumed.add(second)
    merged = tally(first)
    merged.merge(tally(second))
    assert resumed.scores() == tally(first, second).scores() == merged.scores()


def test_without_tokens_there_are_no_figures():
    scores = ReconstructionTally(WIDTH, N_LATENTS).scores()
    assert (scores.n_tokens, scores.fvu, scores.l0, scores.dead_share) == (0, None, None, None)


def test_equal_tokens_have_no_variance_to_explain():
    whole = coded()
    assert tally(whole._replace(tokens=np.ones_like(whole.tokens))).scores().explained_variance is None


@pytest.mark.parametrize("field", ["tokens", "reconstruction"])
def test_what_is_no_number_is_named_by_its_position(field):
    whole = coded()
    values = getattr(whole, field).copy()
    values[17, 2] = np.nan
    with pytest.raises(DataError, match="position 17"):
        tally(whole._replace(**{field: values}))


def test_codes_of_another_autoencoder_are_refused():
    with pytest.raises(DataError, match="belong together"):
        ReconstructionTally(WIDTH, 5).add(coded())
    with pytest.raises(ConfigError, match="different autoencoders"):
        tally(coded()).merge(ReconstructionTally(WIDTH, 5))


def losses(**changes):
    clean = np.array([0.1, 0.3, 0.2, 0.4, 0.1, 0.5])
    return {"clean": clean, "reconstruction": clean + 0.1, "with_error": clean, "mean": clean + 1.0} | changes


PATIENTS, CLASSES = np.array(["a", "a", "b", "c", "d", "d"]), np.array([0, 0, 0, 1, 1, 1])


def recovered(**changes):
    return {score.metric: score for score in loss_recovered(losses(**changes), PATIENTS, CLASSES)}


def test_loss_recovered_is_the_share_of_what_the_mean_token_loses():
    found = recovered(reconstruction=np.array([0.1, 0.9, 0.4, 0.8, 0.1, 0.5]))
    clean, rebuilt, mean = np.mean([0.2, 0.2, 0.4, 0.3]), np.mean([0.5, 0.4, 0.8, 0.3]), 0.275 + 1.0
    assert found["loss recovered"].value == pytest.approx((mean - rebuilt) / (mean - clean))
    assert found["loss recovered"].low < found["loss recovered"].value < found["loss recovered"].high
    assert found["loss: clean"].value == pytest.approx(clean)
    assert (found["loss recovered"].n_patients, found["loss recovered"].n_samples) == (4, 6)


@pytest.mark.parametrize(("shift", "value"), [(0.0, 1.0), (1.0, 0.0), (3.0, -2.0)])
def test_nothing_lost_is_1_and_the_mean_token_0_and_worse_is_below(shift, value):
    assert recovered(reconstruction=losses()["clean"] + shift)["loss recovered"].value == pytest.approx(value)


def test_where_the_mean_token_loses_nothing_there_is_nothing_to_recover():
    score = recovered(mean=losses()["clean"])["loss recovered"]
    assert np.isnan(score.value)
    assert "loses nothing" in score.note


def test_an_error_term_that_does_not_restore_the_loss_is_an_error():
    with pytest.raises(DataError, match="in image 2"):
        recovered(with_error=np.array([0.1, 0.3, 0.9, 0.4, 0.1, 0.5]))
    with pytest.raises(DataError, match="'mean' of image 0 is nan"):
        recovered(mean=np.full(6, np.nan))
