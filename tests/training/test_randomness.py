"""Random numbers of a step: a function of seed and step, and gone when the block ends."""

import random

import numpy as np
import torch

from trilineage.training.randomness import preserved_generators, seed_step


def draw():
    return random.random(), np.random.random(), float(torch.rand(()))


def drawn(seed, step):
    seed_step(seed, step)
    return draw()


def test_the_numbers_of_a_step_are_always_the_same():
    with preserved_generators():
        assert drawn(1, 5) == drawn(1, 5)


def test_steps_and_seeds_draw_different_numbers():
    with preserved_generators():
        several = [drawn(seed, step) for seed in range(3) for step in range(3)]
    assert len(set(several)) == 9


def test_after_the_block_the_generators_are_where_they_were():
    with preserved_generators():
        seed_step(0, 0)
        with preserved_generators():
            draw()
        inner = draw()
        assert inner == drawn(0, 0)
