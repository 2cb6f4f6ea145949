"""Kill a training with SIGKILL at random moments until it is through; print how often, and the digest of its weights.

Children are forked from this process, so that torch is imported once.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import small

N_EPOCHS = 30


def train_in_child(folder: Path, result: Path) -> int:
    """Fork; the child writes the digest of its weights and leaves."""
    child = os.fork()
    if child == 0:
        model, _ = small.fit(folder, epochs=N_EPOCHS)
        result.write_text(small.digest(model))
        os._exit(0)
    return child


def main() -> None:
    folder, result = Path(sys.argv[1]), Path(sys.argv[2])
    small.fit(epochs=1)  # what torch imports when it is first used would take longer than a child lives
    moments = random.Random(int(sys.argv[3]))
    n_killed, longest_s, newest = 0, 0.3, ""
    while not result.exists():
        child = train_in_child(folder, result)
        time.sleep(moments.uniform(0.0, longest_s))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        n_killed += os.WIFSIGNALED(status)
        assert n_killed < 500
        found = max((path.name for path in folder.glob("*.safetensors")), default="")
        longest_s *= 1.0 if found > newest else 1.2  # on a busy machine a child needs longer to get anywhere
        newest = found
    sys.stdout.write(f"{n_killed} {result.read_text()}\n")


if __name__ == "__main__":
    main()
