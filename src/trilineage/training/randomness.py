"""Random numbers of a step that depend on the seed and the step alone, so that nothing about them needs saving."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from trilineage.core.seeding import derive_seed, seed_everything


def seed_step(seed: int, step: int) -> None:
    """Seed every global generator (Python, numpy, torch on all devices) for one step.

    Dropout and other noise of a step are thereby the same after a resume, and start the same on every process.
    """
    seed_everything(derive_seed(seed, "step", step))


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
