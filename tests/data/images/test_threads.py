"""Threads give results in order, raise what their work raises, and are as many as asked for."""

import os

import pytest

from trilineage.data.images.threads import in_threads, n_workers


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers):
    assert list(in_threads(lambda n: n * n, range(20), workers=workers)) == [n * n for n in range(20)]


@pytest.mark.parametrize("workers", [1, 3])
def test_what_the_work_raises_comes_out(workers):
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda n: 1 // n, [1, 0], workers=workers))


def test_there_are_as_many_as_asked_for_or_one_per_core():
    assert n_workers(5) == 5
    assert n_workers(0) == len(os.sched_getaffinity(0))
