"""Batches: the same images whatever the batch size or the process, weighted and balanced as asked."""

import numpy as np
import pytest
import torch

from trilineage.core.errors import DataError
from trilineage.data.images.batches import ImageBatches
from trilineage.data.images.settings import AugmentationSettings
from trilineage.training.batches import Batches, Movable


@pytest.fixture
def codes(table):
    return np.unique(table.labels, return_inverse=True)[1]


@pytest.fixture
def batches(table, codes):
    return ImageBatches(table, codes, augmentation=AugmentationSettings(), seed=5)


def test_they_are_what_the_loop_asks_for(batches):
    assert isinstance(batches, Batches)
    assert isinstance(batches.take(np.arange(2)), Movable)


def test_an_epoch_holds_every_image_once_in_an_order_of_its_own(batches):
    orders = [batches.order(seed=1, epoch=epoch) for epoch in (0, 1, 2)]
    for epoch, order in enumerate(orders):
        assert sorted(order % 10) == list(range(10))
        assert (order // 10 == epoch).all()
    assert not np.array_equal(orders[0] % 10, orders[1] % 10)
    assert np.array_equal(orders[1], batches.order(seed=1, epoch=1))


def test_an_image_is_varied_alike_in_any_batch_process_and_table(table, codes, batches):
    order = batches.order(seed=1, epoch=3)
    whole = batches.take(order)
    shares = [batches.take(order[rank::2]).pixels for rank in range(2)]
    assert torch.equal(whole.pixels[0::2], shares[0])
    assert torch.equal(whole.pixels[1::2], shares[1])
    part = np.array([4, 7])
    fewer = ImageBatches(table.subset(part), codes[part], augmentation=AugmentationSettings(), seed=5)
    same = fewer.take(np.array([2 * 3 + 0]))
    assert torch.equal(same.pixels[0], batches.take(np.array([10 * 3 + 4])).pixels[0])


def test_another_epoch_or_seed_varies_otherwise(table, batches):
    first = batches.take(np.array([4])).pixels
    assert not torch.equal(first, batches.take(np.array([14])).pixels)
    other = ImageBatches(table, augmentation=AugmentationSettings(), seed=6)
    assert not torch.equal(first, other.take(np.array([4])).pixels)


def test_threads_change_nothing(table, codes, batches):
    from dataclasses import replace

    threaded = replace(table, settings=table.settings.replace(workers=3))
    again = ImageBatches(threaded, codes, augmentation=AugmentationSettings(), seed=5)
    assert torch.equal(again.take(np.arange(10)).pixels, batches.take(np.arange(10)).pixels)


def test_without_augmentation_pixels_are_those_of_the_image(table, codes):
    batch = ImageBatches(table, codes).take(np.array([3, 1]))
    assert batch.pixels.dtype == torch.float32
    assert np.allclose(batch.pixels[0].permute(1, 2, 0), table.read_sized(3) / 255, atol=1e-7)
    assert batch.labels.tolist() == codes[[3, 1]].tolist()
    assert batch.positions.tolist() == [3, 1]
    assert batch.weight.tolist() == [1, 1]


def test_an_empty_share_is_an_empty_batch(batches):
    batch = batches.take(np.zeros(0, np.int64))
    assert batch.pixels.shape == (0, 3, 24, 24)
    assert batch.to("cpu").labels.shape == (0,)


def test_balanced_epochs_have_as_many_of_each_class(table):
    codes = np.array([0] * 8 + [1] * 2)
    batches = ImageBatches(table, codes, augmentation=AugmentationSettings(), is_balanced=True)
    order = batches.order(seed=0, epoch=2)
    assert np.bincount(codes[order % 10]).tolist() == [5, 5]
    assert len(np.unique(order)) == 10  # an image that comes again is varied anew
    assert ((order // 10) % 2**24 == 2).all()
    small = np.bincount(order % 10, minlength=10)[8:]
    assert small.max() - small.min() <= 1


def test_weights_come_with_their_images(table):
    batch = ImageBatches(table, weights=np.arange(10.0)).take(np.array([7, 2]))
    assert batch.weight.tolist() == [7, 2]
    assert batch.labels.tolist() == [-1, -1]


def test_labels_of_another_length_are_refused(table):
    with pytest.raises(DataError, match="9 labels and 10 weights for 10 images"):
        ImageBatches(table, np.zeros(9, np.int64))


def test_an_image_that_vanished_is_named(table, folder):
    (folder / table.names[2]).unlink()
    from trilineage.core.errors import ImageError

    with pytest.raises(ImageError, match="blast/5.png: cannot be read"):
        ImageBatches(table).take(np.array([2]))
