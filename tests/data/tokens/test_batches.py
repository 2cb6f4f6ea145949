"""Minibatches of tokens: each token once, mixed across images, read in chunks, the same for one seed and epoch."""

import numpy as np
import pytest

from trilineage.core.errors import DataError
from trilineage.data.tokens.batches import ShuffledTokens, TokenBatches
from trilineage.data.tokens.settings import OutlierSettings, TokenSettings
from trilineage.data.tokens.store import TokenStore
from trilineage.training.batches import Batches, Describing


class Counted:
    """A reader that remembers what was asked of it, and knows no norms."""

    def __init__(self, source, n_images, outlier=None):
        self.source, self.n_images, self.asked = source, n_images, []
        self.outlier = outlier

    def __len__(self):
        return self.n_images

    def read(self, positions):
        self.asked.append(positions.tolist())
        tokens = np.arange(self.source.n_tokens)
        values = np.stack(np.broadcast_arrays(positions[:, None], tokens, 1), axis=2).astype(np.float16)
        if self.outlier is not None:
            values[positions == self.outlier, 3] = 1000
        return values


@pytest.fixture
def reader(source):
    return Counted(source, 40)


def shuffled(reader, images=None, **options):
    return ShuffledTokens(reader, images, **({"chunk_images": 4, "buffer_images": 8} | options))


def test_it_is_what_the_training_loop_asks_for(reader):
    assert isinstance(shuffled(reader), Batches)
    assert isinstance(shuffled(reader), Describing)


def test_an_epoch_has_every_token_of_the_chosen_images_once(reader):
    images = np.array([39, 7, 8, 9, 20])
    order = shuffled(reader, images).order(seed=1, epoch=0)
    expected = np.sort(images)[:, None] * 5 + np.arange(5)
    assert np.sort(order).tolist() == expected.ravel().tolist()


def test_a_batch_holds_the_tokens_of_its_positions(reader):
    batches = shuffled(reader)
    batch = batches.take(batches.order(seed=1, epoch=0)[:30])
    assert np.array_equal(batch.tokens[:, 0].numpy() * 5 + batch.tokens[:, 1].numpy(), batch.positions)
    assert batch.tokens.dtype.is_floating_point
    assert batch.tokens.element_size() == 4


def test_the_order_depends_on_seed_and_epoch_alone(reader):
    batches = shuffled(reader)
    first = batches.order(seed=1, epoch=0)
    assert np.array_equal(first, shuffled(reader).order(seed=1, epoch=0))
    assert not np.array_equal(first, batches.order(seed=1, epoch=1))
    assert not np.array_equal(first, batches.order(seed=2, epoch=0))


def test_tokens_are_mixed_inside_a_buffer_of_two_chunks(reader):
    images = shuffled(reader).order(seed=1, epoch=0)[:40] // 5
    chunks = set((images // 4).tolist())
    assert len(chunks) == 2
    assert len(set(images[:10].tolist())) > 4


def test_each_chunk_is_read_once_in_an_epoch(reader):
    batches = shuffled(reader)
    order = batches.order(seed=1, epoch=0)
    for start in range(0, len(order), 12):  # batches that lie across two buffers
        batches.take(order[start : start + 12])
    read = [image for asked in reader.asked for image in asked]
    assert sorted(read) == list(range(40))


def test_no_more_chunks_stay_than_the_buffer_holds(reader):
    batches = shuffled(reader)
    order = batches.order(seed=1, epoch=0)
    for start in range(0, len(order), 12):
        batches.take(order[start : start + 12])
        assert len(batches._chunks) <= 2


def test_a_batch_is_the_same_whatever_was_taken_before(reader, source):
    used, fresh = shuffled(reader), shuffled(Counted(source, 40))
    order = used.order(seed=3, epoch=5)
    used.take(order[:100])
    assert np.array_equal(used.take(order[100:120]).tokens, fresh.take(order[100:120]).tokens)


def test_outliers_of_a_store_are_left_out_of_the_order(made):
    def with_outlier(n_images, first):
        tokens = np.ones((n_images, 5, 3), np.float16)
        tokens[:, 3] *= 10 if first == 3 else 1
        return tokens

    store = TokenStore.open(made(tokens=with_outlier).path)
    batches = shuffled(store, np.arange(4, 10), outliers=OutlierSettings(norm_factor=5))
    order = batches.order(seed=0, epoch=0)
    assert len(order) == len(batches) == 28
    assert batches.n_left_out == 2
    assert float(batches.take(order).tokens.max()) == 1.0
    assert float(batches.sample(100).max()) == 1.0


def test_outliers_on_the_fly_are_left_out_of_the_batch(source):
    batches = shuffled(Counted(source, 40, outlier=9), outliers=OutlierSettings(norm_factor=10))
    batch = batches.take(np.arange(40, 55))
    assert len(batch.tokens) == 14
    assert 48 not in batch.positions.tolist()
    assert batches.n_left_out == 1


def test_a_share_without_a_token_is_an_empty_batch(reader):
    assert shuffled(reader).take(np.zeros(0, np.int64)).tokens.shape == (0, 3)


def test_a_sample_is_of_chosen_images_without_repetition(reader):
    images = np.arange(3, 40, 2)
    sample = shuffled(reader, images).sample(50, seed=2)
    rows = [tuple(row) for row in sample.tolist()]
    assert len(set(rows)) == 50
    assert {row[0] for row in rows} <= set(images.tolist())
    assert len({row[0] for row in rows}) > 12


def test_a_sample_larger_than_all_tokens_is_all_of_them(reader):
    assert len(shuffled(reader).sample(10_000)) == 200


def test_tokens_are_named_by_image_and_place(reader):
    assert shuffled(reader).describe(np.array([0, 13])) == ["token 0 of image 0", "token 3 of image 2"]


@pytest.mark.parametrize("images", [[], [40], [-1, 3]])
def test_images_that_there_are_not_are_refused(images, reader):
    with pytest.raises(DataError, match="no such images"):
        shuffled(reader, np.array(images, np.int64))


def test_the_options_are_those_of_the_batches(reader):
    options = TokenSettings(chunk_images=3, buffer_images=7).shuffling()
    batches = ShuffledTokens(reader, **options)
    assert (batches.chunk_images, batches.buffer_chunks) == (3, 3)


def test_tokens_in_memory_come_in_single_precision():
    batch = TokenBatches(np.ones((4, 3), np.float16)).take(np.array([2, 0]))
    assert (batch.tokens.element_size(), batch.positions.tolist()) == (4, [2, 0])
