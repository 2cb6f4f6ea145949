"""What several processes do together: save the weights of each training to a folder, from every process."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import small

from trilineage.core.errors import Interrupted

RANK = int(os.environ["RANK"])


class SignalOnce:
    """A step that sends its process a signal, once, on the last process only."""

    def __init__(self, at: int):
        self.left = at

    def __call__(self, model, batch):
        self.left -= 1
        if self.left == 0 and RANK == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return small.step(model, batch)


def main() -> None:
    folder = Path(sys.argv[1])
    results = {"plain": small.weights(small.fit()[0])}
    results["clipped"] = small.weights(small.fit(clip_norm=0.5, optimizer="adamw", weight_decay=0.1)[0])
    single = {"batches": small.Line(5), "batch_size": 1}  # the second process has nothing to learn from
    results["one_row"] = small.weights(small.fit(model=small.network(with_norm=False), **single)[0])
    values = {"patience": 2, "validate": lambda: {"valid_loss": float(RANK)}}
    results["stopped_early"] = np.array([small.fit(**values, epochs=9)[1].n_steps])
    try:
        small.fit(folder / "checkpoints", step_function=SignalOnce(7))
        results["was_interrupted"] = np.array([0])
    except Interrupted:
        results["was_interrupted"] = np.array([1])
    results["resumed"] = small.weights(small.fit(folder / "checkpoints")[0])
    np.savez(folder / f"rank{RANK}.npz", **results)


if __name__ == "__main__":
    main()
