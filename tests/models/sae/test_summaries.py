"""Codes of images are those of their tokens, added up: against dense arrays, by hand, and refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trilineage.core.errors import DataError
from trilineage.models.sae.codes import SparseCodes
from trilineage.models.sae.summaries import summarise


def sparse(dense):
    values = torch.as_tensor(dense, dtype=torch.float32)
    is_active = values > 0
    ends = is_active.sum(dim=1).cumsum(0)
    indptr = torch.cat([ends.new_zeros(1), ends])
    return SparseCodes(indptr, is_active.nonzero()[:, 1].int(), values[is_active], values.shape[1])


def drawn(n_images, n_tokens, n_latents, seed):
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(n_images, n_tokens, n_latents)).clip(min=0).astype(np.float32)
    return np.where(rng.random(f.shape) < 0.4, f, 0).round(1)  # rounded: ties, and values equal to tau


@given(st.integers(0, 4), st.integers(0, 5), st.integers(0, 3), st.integers(1, 6), st.integers(0, 9))
def test_figures_are_those_of_dense_latents(n_images, n_patches, n_prefix, n_latents, seed):
    f = drawn(n_images, n_prefix + n_patches, n_latents, seed)
    made = summarise(
        sparse(f.reshape(-1, n_latents)),
        n_tokens=n_prefix + n_patches,
        n_prefix=n_prefix,
        tau=0.5,
        positions=np.arange(n_images) + 7,
    )
    made.require_sound()
    patches = f[:, n_prefix:]
    cls = f[:, 0] if n_prefix else np.zeros((n_images, n_latents), np.float32)
    peaks = patches.max(axis=1, initial=0)
    rows, latents = np.nonzero((peaks > 0) | (cls > 0))
    assert np.array_equal(made.rows, rows)
    assert np.array_equal(made.latents, latents)
    assert np.allclose(made.sums, patches.sum(axis=1)[rows, latents], rtol=1e-6)
    assert np.array_equal(made.counts, (patches > np.float32(0.5)).sum(axis=1)[rows, latents])
    assert np.array_equal(made.peaks, peaks[rows, latents])
    assert np.array_equal(made.cls, cls[rows, latents])
    first = patches.argmax(axis=1)[rows, latents] if n_patches else np.zeros(len(rows))
    assert np.array_equal(made.peak_patches, np.where(made.peaks > 0, first, -1))


def test_the_first_patch_after_the_prefix_tokens_is_patch_0():
    f = np.zeros((1, 5, 3))
    f[0, 0, 0], f[0, 1, 1], f[0, 2, 2] = 9.0, 9.0, 9.0  # CLS, a register, the first patch
    made = summarise(sparse(f[0]), n_tokens=5, n_prefix=2, tau=0.0, positions=np.array([4]))
    assert made.latents.tolist() == [0, 2]  # a register is in no figure
    assert made.peak_patches.tolist() == [-1, 0]
    assert made.cls.tolist() == [9.0, 0.0]
    assert (made.n_patches, made.has_cls, made.positions.tolist()) == (3, True, [4])


def test_tokens_of_another_number_of_images_are_refused():
    with pytest.raises(DataError, match="10 tokens for 3 images"):
        summarise(sparse(np.ones((10, 2))), n_tokens=5, n_prefix=1, tau=0.2, positions=np.arange(3))
