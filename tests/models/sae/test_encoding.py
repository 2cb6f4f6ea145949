"""Sparse codes are those of the whole matrix of pre-activations, for every rule and both ways of computing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trilineage.models.sae import encoding
from trilineage.models.sae.codes import SparseCodes
from trilineage.models.sae.decoding import decode
from trilineage.models.sae.encoding import (
    Encoder,
    encode_above,
    encode_largest,
    encode_largest_of_batch,
    nth_largest,
)

BACKENDS = ("numba", "torch")


def case(n_tokens=40, n_latents=700, width=8, *, seed=0):
    draws = torch.Generator().manual_seed(seed)
    x, weight = (torch.randn(n, width, generator=draws) for n in (n_tokens, n_latents))
    return x, Encoder(weight, 0.3 * torch.randn(n_latents, generator=draws))


def dense(x, encoder):
    return x @ encoder.weight.T + encoder.bias


def topk(z, k):
    best = z.topk(k, dim=1)
    return torch.zeros_like(z).scatter(1, best.indices, best.values.relu())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("n_latents", "k"), [(700, 32), (700, 1), (33, 33), (5, 9), (2500, 400)])
def test_the_k_largest_of_each_token_are_found(backend, n_latents, k):
    x, encoder = case(n_latents=n_latents)
    codes = encode_largest(x, encoder, k, backend=backend)
    assert torch.allclose(codes.dense(), topk(dense(x, encoder), min(k, n_latents)), atol=1e-5)


@given(st.integers(1, 60), st.integers(1, 130), st.integers(1, 40), st.integers(0, 5))
def test_the_largest_are_found_whatever_the_sizes(n_tokens, n_latents, k, seed):
    x, encoder = case(n_tokens, n_latents, seed=seed)
    codes = encode_largest(x, encoder, k, backend="numba")
    assert torch.allclose(codes.dense(), topk(dense(x, encoder), min(k, n_latents)), atol=1e-5)


def test_tiles_of_any_size_give_the_same_codes(monkeypatch):
    x, encoder = case()
    whole = encode_largest(x, encoder, 20, backend="numba").dense()
    monkeypatch.setattr(encoding, "TOKEN_TILE", 7)
    monkeypatch.setattr(encoding, "LATENT_TILE", 50)
    assert torch.allclose(encode_largest(x, encoder, 20, backend="numba").dense(), whole, atol=1e-6)


def test_values_that_rise_with_the_latent_overflow_the_candidates_and_are_still_found():
    """Every value of a later tile is larger: the worst order for a search that keeps the best so far."""
    weight = torch.arange(1, 3001.0)[:, None]
    codes = encode_largest(torch.ones(3, 1), Encoder(weight, torch.zeros(3000)), 5, backend="numba")
    assert codes.latents.view(3, 5).tolist() == [[2995, 2996, 2997, 2998, 2999]] * 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_that_exceeds_its_bound_is_found(backend):
    x, encoder = case(n_tokens=600)
    bounds = torch.linspace(-1.0, 4.0, 700)
    codes, z = encode_above(x, encoder, bounds, backend=backend), dense(x, encoder)
    assert torch.allclose(codes.dense(), z * (z > bounds), atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_rich", [0, 1, 5])
def test_the_largest_of_a_batch_are_found_even_if_a_few_tokens_have_most_of_them(backend, n_rich):
    x, encoder = case()
    x[:n_rich] *= 20
    codes, smallest = encode_largest_of_batch(x, encoder, 10, backend=backend)
    z = dense(x, encoder).relu()
    best = z.flatten().topk(10 * len(x))
    expected = torch.zeros(z.numel()).scatter(0, best.indices, best.values).view_as(z)
    assert torch.allclose(codes.dense(), expected, atol=1e-4)
    assert smallest == pytest.approx(float(best.values[-1]), rel=1e-6)


def test_a_batch_with_fewer_positive_values_than_wanted_gives_them_all():
    x, encoder = case(n_latents=20)
    codes, smallest = encode_largest_of_batch(x, encoder, 20)
    assert torch.allclose(codes.dense(), dense(x, encoder).relu(), atol=1e-5)
    assert smallest == 0.0


@given(st.lists(st.floats(2**-90, 2**90, width=32), min_size=1, max_size=50), st.integers(1, 60))
def test_the_nth_largest_is_that_of_sorting(values, n):
    ranked = sorted(values, reverse=True)
    assert nth_largest(torch.tensor(values), n) == (ranked[n - 1] if n <= len(values) else 0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_token_has_no_codes(backend):
    _, encoder = case()
    nothing = torch.empty(0, 8)
    for codes in (
        encode_largest(nothing, encoder, 3, backend=backend),
        encode_above(nothing, encoder, encoder.bias, backend=backend),
        encode_largest_of_batch(nothing, encoder, 3, backend=backend)[0],
    ):
        assert (codes.n_tokens, codes.n_active, codes.n_latents) == (0, 0, 700)


@pytest.mark.parametrize("backend", BACKENDS)
def test_decoding_is_the_product_with_the_decoder(backend):
    x, encoder = case()
    codes = encode_above(x, encoder, torch.full((700,), 3.0))
    start, weight = torch.arange(8.0), encoder.weight.flip(0)
    assert torch.allclose(
        decode(codes, weight, start, backend=backend), codes.dense() @ weight + start, atol=1e-4
    )


def test_pairs_by_latent_are_the_columns_of_the_codes():
    x, encoder = case()
    codes = encode_largest(x, encoder, 9)
    pairs, columns = codes.by_latent(), codes.dense()
    assert torch.equal(pairs.counts, (columns > 0).sum(dim=0))
    here = slice(int(pairs.starts[7]), int(pairs.starts[8]))
    assert torch.equal(columns[pairs.tokens[here].long(), 7], pairs.values[here])


def test_codes_in_portions_are_the_codes_of_the_whole():
    x, encoder = case()
    parts = [encode_largest(portion, encoder, 9) for portion in x.split(13)]
    joined, whole = SparseCodes.concatenate(parts), encode_largest(x, encoder, 9)
    assert torch.allclose(joined.dense(), whole.dense(), atol=1e-5)


@pytest.mark.parametrize("room", [0, 64])
def test_tokens_with_more_active_latents_than_expected_lose_none(room, monkeypatch):
    monkeypatch.setattr(encoding, "_ROOM", room)
    x, encoder = case()
    codes, z = encode_above(x, encoder, torch.full((700,), -0.5), backend="numba"), dense(x, encoder)
    assert torch.allclose(codes.dense(), z * (z > -0.5), atol=1e-5)
    assert codes.n_active > 40 * 700 / 8
