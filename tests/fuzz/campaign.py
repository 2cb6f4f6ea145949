"""Fuzz the readers: `python tests/fuzz/campaign.py --mutants 10000` damages files and counts how each was taken.

A reader passes if every mutant is read or refused by an error of `trilineage.core.errors`: no crash, no hang, no other
exception. What fails is kept in `--keep` with the number that makes it again.
"""

import argparse
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

sys.path.insert(0, str(Path(__file__).parent))

from readers import READERS

HANG_S = 20.0
"""Longest time a mutant may take; sound files of this size take milliseconds."""
START_S = 180.0
"""Longest time until the child has imported what it needs, on a busy machine."""
MOST_FAILURES = 20


@dataclass
class Campaign:
    """How the mutants of one reader were taken."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def take(self, about: dict, done: dict, seconds: float, *, refuses_all: bool) -> None:
        """Count one mutant."""
        outcome = done["outcome"]
        self.outcomes[outcome.split(":")[0]] += 1
        self.slowest_s = max(self.slowest_s, seconds)
        is_silent = refuses_all and outcome == "read" and done["is_changed"]
        if outcome.startswith("untyped") or is_silent:
            self.failures.append(f"mutant {about['number']} of {about['file']}: {outcome}")


def run_campaign(name: str, n_mutants: int, *, seed: int = 0) -> Campaign:
    """Read mutants of one reader in a child, which is started again after a crash or a hang."""
    campaign, reader, first = Campaign(), READERS[name], 0
    with tempfile.TemporaryDirectory() as made:
        reader.make(Path(made))
        sound = {path: path.read_bytes() for path in Path(made).rglob("*") if path.is_file()}
        while first < n_mutants and len(campaign.failures) < MOST_FAILURES:
            first = _follow(campaign, name, Path(made), range(first, n_mutants), seed)
            for path, content in sound.items():
                path.write_bytes(content)
    return campaign


def _follow(campaign: Campaign, name: str, folder: Path, numbers: range, seed: int) -> int:
    """Run one child over the numbers; return the first it did not come to."""
    command = [sys.executable, str(Path(__file__).with_name("victim.py")), name, str(folder)]
    given = [*command, str(numbers.start), str(numbers.stop), str(seed)]
    with (
        tempfile.TemporaryFile("w+") as complaints,  # a pipe nobody reads would fill up and stop the child
        subprocess.Popen(given, stdout=subprocess.PIPE, stderr=complaints, text=True) as child,
    ):
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read_lines, args=(child.stdout, lines), daemon=True).start()
        reached, about = numbers.start, None
        while reached < numbers.stop:
            began = time.monotonic()
            line = _line(lines, HANG_S if about else START_S)
            if not line:
                child.kill()
                child.wait()
                complaint = _end_of(complaints)
                if about is None:
                    raise RuntimeError(f"{name}: the child did not begin: {complaint}")
                how = "hang" if line is None else f"crash (exit {child.returncode}): {complaint[-300:]}"
                campaign.outcomes[how.split(" ")[0]] += 1
                campaign.failures.append(f"mutant {about['number']} of {about['file']}: {how}")
                return about["number"] + 1
            told = json.loads(line)
            if "outcome" in told:
                seconds = time.monotonic() - began
                campaign.take(about, told, seconds, refuses_all=READERS[name].refuses_all)
                reached = about["number"] + 1
            else:
                about = told
        child.wait()
    return reached


def _end_of(complaints: TextIO) -> str:
    """Return the last 1,000 characters of what a child complained of."""
    complaints.seek(0)
    return complaints.read()[-1000:]


def _read_lines(stream, lines: queue.Queue) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def _line(lines: queue.Queue, longest_s: float) -> str | None:
    """Return the next line, an empty text at the end, None if nothing comes."""
    try:
        return lines.get(timeout=longest_s)
    except queue.Empty:
        return None


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("readers", nargs="*", choices=[[], *READERS], default=[])
    asked = parser.parse_args()
    n_failed = 0
    for name in asked.readers or READERS:
        began = time.monotonic()
        campaign = run_campaign(name, asked.mutants, seed=asked.seed)
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in campaign.outcomes.most_common())
        took = f"{time.monotonic() - began:.0f} s, slowest {campaign.slowest_s:.2f} s"
        say(f"{name}: {counts} ({took})")
        for failure in campaign.failures:
            say(f"  FAILED {failure}")
        n_failed += len(campaign.failures)
    raise SystemExit(n_failed > 0)


if __name__ == "__main__":
    main()
