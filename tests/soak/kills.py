"""Kill trainings at random moments: `python tests/soak/kills.py --kills 100` counts finished weights that differ.

A fit is killed with SIGKILL, started again with the same arguments, killed again, and so on; fits that come to their
end are compared byte by byte with one that was never disturbed, and the next begins, until the kills are used up.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from trainers import TRAINERS, write_data

PATIENCE = 1.25
"""A child that got nowhere new lets the next ones live this much longer."""


@dataclass
class Survival:
    """What became of the fits of one trainer."""

    n_kills: int = 0
    """Children killed before their end."""
    n_finished: int = 0
    """Fits that came to their end after kills."""
    n_different: int = 0
    """Those whose weights are not those of an undisturbed fit."""
    complaint: str = ""
    """What a fit died of by itself, or nothing."""


class Zygote:
    """The process that forks the children."""

    def __init__(self):
        environment = os.environ | {"NUMBA_THREADING_LAYER": "workqueue", "OMP_NUM_THREADS": "1"}
        environment |= {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__).with_name("zygote.py"))]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, trainer: str, data: Path, out: Path, life_s: float | None) -> dict:
        """Let one child live this long; None: to its end."""
        asked = {"trainer": trainer, "data": str(data), "out": str(out), "life_s": life_s}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        told = self.process.stdout.readline()
        if not told:
            raise RuntimeError(f"the zygote died: {self.process.stderr.read()[-2000:]}")
        return json.loads(told)

    def close(self) -> None:
        """End the process."""
        with self.process:
            self.process.stdin.close()


def survive(zygote: Zygote, trainer: str, folder: Path, n_kills: int, *, seed: int = 0) -> Survival:
    """Fit, killed `n_kills` times at random moments, and compare what comes out."""
    moments, found = random.Random(f"{seed}:{trainer}"), Survival()
    undisturbed = zygote.run(trainer, folder, folder / "undisturbed", None)
    if undisturbed["status"]:
        return Survival(complaint="the undisturbed fit failed")
    expected = weights(folder / "undisturbed")
    while found.n_kills < n_kills and not found.complaint:
        out = folder / f"fit{found.n_finished}"
        longest_s = undisturbed["seconds"] / 3
        reached = ""
        while not _is_over(found, zygote, trainer, out, moments.uniform(0, longest_s), n_kills):
            longest_s *= 1 if progress(out) != reached else PATIENCE
            reached = progress(out)
        found.n_finished += 1
        found.n_different += weights(out) != expected
    return found


def _is_over(found: Survival, zygote: Zygote, trainer: str, out: Path, life_s: float, n_kills: int) -> bool:
    """Let one child live; tell whether the fit ended, by itself or because no kills are left."""
    told = zygote.run(trainer, out.parent, out, life_s if found.n_kills < n_kills else None)
    found.n_kills += told["killed"]
    if told["status"]:
        found.complaint = f"the fit failed by itself after {found.n_kills} kills"
    return not told["killed"]


def weights(out: Path) -> dict[str, str]:
    """Return the digest of every file of weights of a finished Run."""
    if json.loads((out / "run.json").read_text())["status"] != "complete":
        return {"unfinished": ""}
    paths = sorted((out / "weights").rglob("*.safetensors"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def progress(out: Path) -> str:
    """Return something that changes whenever a checkpoint or a result is written."""
    paths = [path for path in out.rglob("*") if path.is_file()] if out.exists() else []
    return str(sorted((path.name, path.stat().st_mtime_ns) for path in paths))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("trainers", nargs="*", default=[])
    asked = parser.parse_args()
    zygote, n_bad = Zygote(), 0
    for trainer in asked.trainers or TRAINERS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            write_data(Path(folder))
            found = survive(zygote, trainer, Path(folder), asked.kills, seed=asked.seed)
        n_bad += found.n_different + bool(found.complaint)
        sys.stdout.write(
            f"{trainer}: {found.n_kills} kills, {found.n_finished} fits finished, {found.n_different} with other "
            f"weights{found.complaint and '; ' + found.complaint} ({time.monotonic() - began:.0f} s)\n"
        )
        sys.stdout.flush()
    zygote.close()
    raise SystemExit(n_bad > 0)


if __name__ == "__main__":
    main()
