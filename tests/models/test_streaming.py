"""Batches side by side: in order, from several threads, with nothing left running."""

import threading

import pytest
import torch

from trilineage.models.streaming import images_per_batch, in_batches, stream_batches


def load(positions):
    return torch.from_numpy(positions).float().view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def test_results_come_in_the_order_of_the_batches():
    waits = threading.Event()

    def uneven(pixels):
        if pixels[0, 0, 0, 0] == 0:
            waits.wait(0.2)
        return pixels[:, 0, 0, 0].tolist()

    found = list(stream_batches(uneven, load, in_batches(0, 10, 3), workers=3))
    assert [positions.tolist() for positions, _ in found] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert [result for _, result in found] == [positions.tolist() for positions, _ in found]


def test_every_thread_computes_with_one_core():
    n_before, seen = torch.get_num_threads(), []
    list(stream_batches(lambda _: seen.append(torch.get_num_threads()), load, in_batches(0, 4, 1), workers=2))
    assert seen == [1] * 4
    assert torch.get_num_threads() == n_before


def test_a_caller_who_stops_leaves_nothing_running():
    n_before = threading.active_count()
    stream = stream_batches(lambda pixels: len(pixels), load, in_batches(0, 1000, 1), workers=2)
    next(stream)
    stream.close()
    assert threading.active_count() <= n_before


def test_what_goes_wrong_in_a_thread_is_raised_where_the_result_is_asked_for():
    def broken(pixels):
        raise ValueError("image 0")

    with pytest.raises(ValueError, match="image 0"):
        next(stream_batches(broken, load, in_batches(0, 4, 2)))


def test_no_image_makes_no_batch():
    assert list(in_batches(3, 3, 2)) == []
    assert [batch.tolist() for batch in in_batches(3, 6, 2)] == [[3, 4], [5]]


def test_a_gpu_gets_large_batches_and_a_core_what_fits_its_cache():
    assert images_per_batch((224, 224), "cuda") == 64
    assert [images_per_batch((size, size)) for size in (16, 96, 224, 384)] == [64, 7, 1, 1]
    assert images_per_batch((256, 128)) == 2
