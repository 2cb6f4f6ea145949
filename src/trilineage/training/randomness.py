"""Random numbers of a step that depend on the seed and the step alone, so that nothing about them needs saving."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from trilineage.core.seeding import derive_seed


def seed_step(seed: int, step: int) -> None:
    """Seed every global generator (Python, numpy, torch on CPU and on the current GPU) for one step.

    Dropout and other noise of a step are thereby the same after a resume, and start the same on every process.
    """
    number = derive_seed(seed, "step", step)
    random.seed(number)
    np.random.seed(number % 2**32)
    # torch.manual_seed does this for every kind of device there might be, and takes longer than a small step.
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(number)


@contextlib.contextmanager
def preserved_generators() -> Iterator[None]:
    """Leave the global generators after the block as they were before it, whatever was drawn inside."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)
