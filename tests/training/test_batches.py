"""Batches of an epoch: every sample once, no lonely last one; reading ahead changes nothing but the time."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilineage.training.batches import Batches, batch_bounds, read_ahead


@given(st.integers(1, 200), st.integers(1, 50))
def test_every_sample_is_in_one_batch(n_samples, batch_size):
    bounds = batch_bounds(n_samples, batch_size)
    assert [position for start, stop in bounds for position in range(start, stop)] == list(range(n_samples))


@given(st.integers(2, 200), st.integers(2, 50))
def test_no_batch_is_a_single_sample_and_none_is_more_than_one_too_large(n_samples, batch_size):
    sizes = [stop - start for start, stop in batch_bounds(n_samples, batch_size)]
    assert min(sizes) > 1
    assert max(sizes) <= batch_size + 1


def test_batches_of_one_are_given_to_who_asks_for_them():
    assert batch_bounds(3, 1) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("n_items", [0, 1, 5])
def test_items_come_in_their_order(in_thread, n_items):
    assert list(read_ahead(lambda item: item * 2, range(n_items), in_thread=in_thread)) == [
        item * 2 for item in range(n_items)
    ]


def test_the_next_item_is_loaded_while_the_caller_has_this_one():
    is_second_loaded = threading.Event()

    def load(item):
        if item == 1:
            is_second_loaded.set()
        return item

    items = read_ahead(load, range(3), in_thread=True)
    assert next(items) == 0
    assert is_second_loaded.wait(timeout=10)
    assert list(items) == [1, 2]


def test_what_goes_wrong_in_the_thread_is_raised_where_the_item_is_asked_for():
    items = read_ahead(lambda item: 1 // (2 - item), range(5), in_thread=True)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_the_small_data_are_batches(small):
    assert isinstance(small.Line(), Batches)
