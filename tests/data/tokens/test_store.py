"""Tokens on disk: the right ones for every position, in any order, or a refusal."""

from dataclasses import replace

import numpy as np
import pytest

from trilineage.core.errors import ArtifactError, DataError
from trilineage.data.tokens.settings import OutlierSettings
from trilineage.data.tokens.store import TokenStore


@pytest.fixture
def store(made):
    return TokenStore.open(made().path)


def test_images_come_in_the_order_that_was_asked_for(store):
    tokens = store.read(np.array([9, 0, 4, 4]))
    assert tokens.dtype == np.float16
    assert tokens[:, 2].tolist() == [[9, 2, 1], [0, 2, 1], [4, 2, 1], [4, 2, 1]]


def test_chunks_go_through_all_images_across_shards(store):
    chunks = list(store.chunks(1, n_images=4))
    assert [positions.tolist() for positions, _ in chunks] == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]
    assert np.concatenate([tokens[:, 0, 0] for _, tokens in chunks]).tolist() == list(range(1, 10))


def test_no_image_gives_no_tokens(store):
    assert store.read(np.zeros(0, np.int64)).shape == (0, 5, 3)


@pytest.mark.parametrize("position", [10, -1])
def test_an_image_that_there_is_not_is_refused(position, store):
    with pytest.raises(DataError, match="an image that there is not"):
        store.read(np.array([0, position]))


def test_norms_are_those_of_the_tokens(store):
    tokens = store.read(np.arange(10)).astype(np.float32)
    assert np.array_equal(store.norms(), np.linalg.norm(tokens, axis=2))


def test_unfinished_shards_are_named_with_the_command_that_goes_on(made):
    folder = made(shards=(1,))
    with pytest.raises(ArtifactError, match=r"3 of 4 shards.*shards 0, 2-3.*--shard i/n --out"):
        TokenStore.open(folder.path)


def test_tokens_of_another_backbone_are_refused(made, source):
    folder = made()
    assert len(TokenStore.open(folder.path, source)) == 10
    with pytest.raises(ArtifactError, match="other tokens than those asked for; seen: weights"):
        TokenStore.open(folder.path, replace(source, weights="f" * 64))


def test_tokens_whose_norm_is_far_above_the_median_are_counted(made):
    def with_outlier(n_images, first):
        tokens = np.ones((n_images, 5, 3), np.float16)
        tokens[:, 3] *= 10 if first == 3 else 1
        return tokens

    store = TokenStore.open(made(tokens=with_outlier).path)
    assert store.n_outliers(OutlierSettings(norm_factor=5)) == 3
    assert store.n_outliers(OutlierSettings(norm_factor=20)) == store.n_outliers(OutlierSettings()) == 0
