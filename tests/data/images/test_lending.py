"""Memory of batches: used again when nothing made of it is left, never before."""

import gc

import numpy as np
import torch

from trilineage.data.images.lending import LentMemory


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_when_the_tensor_is_gone():
    memory = LentMemory()
    tensor = torch.from_numpy(memory.lend(4, 3, 8, 8))
    first = tensor.data_ptr()
    del tensor
    gc.collect()
    assert address(memory.lend(4, 3, 8, 8)) == first


def test_what_is_still_held_is_not_written_over():
    memory = LentMemory()
    for hold in (lambda a: torch.from_numpy(a)[1], lambda a: a[2:], lambda a: torch.from_numpy(a).numpy()[0]):
        held = hold(memory.lend(4, 5))
        held[:] = 7
        again = [memory.lend(4, 5) for _ in range(5)]
        for other in again:
            other[:] = 0
        assert (np.asarray(held) == 7).all()


def test_a_smaller_batch_takes_waiting_memory_but_not_far_too_much():
    memory = LentMemory()
    large = address(memory.lend(100, 10))
    assert address(memory.lend(60, 10)) == large
    small = memory.lend(10, 10)
    assert address(small) != large
    assert small.shape == (10, 10)
    assert small.dtype == np.float32


def test_an_empty_batch_is_lent():
    assert LentMemory().lend(0, 3, 8, 8).shape == (0, 3, 8, 8)
