"""Codes of images: every matrix against dense activations, chosen, joined, saved, and refused where they cannot be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilineage.core.errors import ConfigError, DataError
from trilineage.data.codes.image_codes import ImageCodes


def drawn(seed=0, n_images=6, n_tokens=5, n_latents=4):
    rng = np.random.default_rng(seed)
    f = rng.random((n_images, n_tokens, n_latents)).astype(np.float32)
    return np.where(rng.random(f.shape) < 0.3, f, 0)


@given(st.integers(0, 50), st.booleans())
def test_matrices_are_those_of_dense_activations(codes_of, seed, with_cls):
    f = drawn(seed)
    codes = codes_of(f)
    tokens = f if with_cls else f[:, 1:]
    expected = {
        "mean": tokens.mean(axis=1),
        "above": (tokens > np.float32(0.2)).sum(axis=1),
        "peak": tokens.max(axis=1),
        "cls": f[:, 0],
    }
    for what, dense in expected.items():
        matrix = codes.matrix(what, with_cls=with_cls)
        assert np.allclose(matrix.toarray(), dense, rtol=1e-6)
        assert matrix.nnz == np.count_nonzero(dense)


def test_counts_of_patches_do_not_grow_with_the_number_of_images(codes_of):
    one, many = codes_of(drawn()), ImageCodes.concatenate([codes_of(drawn())] * 3)
    for what in ("mean", "above"):
        assert np.allclose(one.matrix(what).mean(axis=0), many.matrix(what).mean(axis=0))


@given(st.integers(0, 50), st.lists(st.integers(0, 5), max_size=8))
def test_chosen_images_are_those_of_the_dense_rows(codes_of, seed, rows):
    f = drawn(seed)
    chosen = codes_of(f).subset(np.array(rows, dtype=np.int64))
    chosen.require_sound()
    assert chosen.positions.tolist() == rows
    assert np.allclose(chosen.matrix("peak").toarray(), f[rows][:, 1:].max(axis=1, initial=0))


def test_parts_are_joined_and_arrays_restored(codes_of):
    codes = codes_of(drawn())
    joined = ImageCodes.concatenate([codes.subset(np.arange(2)), codes.subset(np.arange(2, 6))])
    restored = ImageCodes.from_arrays(joined.to_arrays())
    for name, array in codes.to_arrays().items():
        assert np.array_equal(array, restored.to_arrays()[name]), name


def test_tokens_that_were_not_kept_are_refused(codes_of):
    only_patches, only_cls = codes_of(drawn(), n_prefix=0), codes_of(drawn(n_tokens=1))
    with pytest.raises(ConfigError, match="no CLS"):
        only_patches.matrix("mean", with_cls=True)
    with pytest.raises(ConfigError, match="no CLS"):
        only_patches.matrix("cls")
    with pytest.raises(ConfigError, match="no patches"):
        only_cls.matrix("above")
    assert np.allclose(only_cls.matrix("mean", with_cls=True).toarray(), drawn(n_tokens=1)[:, 0])


def test_what_does_not_belong_together_is_refused(codes_of):
    codes = codes_of(drawn())
    with pytest.raises(DataError, match="cannot be joined"):
        ImageCodes.concatenate([codes, codes_of(drawn(), tau=0.3)])
    with pytest.raises(DataError, match="no codes"):
        ImageCodes.concatenate([])
    arrays = codes.to_arrays()
    for changed in (
        {"latents": codes.latents[::-1].copy()},
        {"latents": codes.latents + np.int32(9)},
        {"indptr": codes.indptr + 1},
    ):
        with pytest.raises(DataError):
            ImageCodes.from_arrays(arrays | changed)
    with pytest.raises(DataError, match="no codes of images"):
        ImageCodes.from_arrays({"sums": codes.sums})
