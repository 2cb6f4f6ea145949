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


class Victim:
    """The child that reads, started when it is first needed and again after a crash or a hang."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._complaints: TextIO | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def ask(self, **about: object) -> None:
        """Let it read mutants."""
        if self._process is None:
            self._lines = queue.Queue()
            self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115  (a pipe nobody reads would fill up)
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("victim.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                text=True,
            )
            threading.Thread(
                target=_read_lines, args=(self._process.stdout, self._lines), daemon=True
            ).start()
        self._process.stdin.write(json.dumps(about) + "\n")
        self._process.stdin.flush()

    def line(self, longest_s: float) -> str | None:
        """Return the next line, an empty text at the end, None if nothing comes."""
        try:
            return self._lines.get(timeout=longest_s)
        except queue.Empty:
            return None

    def end(self) -> tuple[int, str]:
        """Kill it; return its exit status and the last 1,000 characters of what it complained of."""
        if self._process is None:
            return 0, ""
        self._process.kill()
        with self._process as ended, self._complaints as complaints:
            ended.wait()
            complaints.seek(0)
            said = complaints.read()[-1000:]
        status, self._process = ended.returncode, None
        return status, said


def run_campaign(victim: Victim, name: str, n_mutants: int, *, seed: int = 0) -> Campaign:
    """Let the child read mutants of one reader."""
    campaign, reader, first = Campaign(), READERS[name], 0
    with tempfile.TemporaryDirectory() as made:
        reader.make(Path(made))
        sound = {path: path.read_bytes() for path in Path(made).rglob("*") if path.is_file()}
        while first < n_mutants and len(campaign.failures) < MOST_FAILURES:
            first = _follow(victim, campaign, name, Path(made), range(first, n_mutants), seed)
            for path, content in sound.items():
                path.write_bytes(content)
    return campaign


def _follow(victim: Victim, campaign: Campaign, name: str, folder: Path, numbers: range, seed: int) -> int:
    """Follow the child over the numbers; return the first it did not come to."""
    victim.ask(reader=name, folder=str(folder), first=numbers.start, stop=numbers.stop, seed=seed)
    reached, about = numbers.start, None
    while reached < numbers.stop:
        began = time.monotonic()
        line = victim.line(HANG_S if about else START_S)
        if not line:
            status, complaint = victim.end()
            if about is None:
                raise RuntimeError(f"{name}: the child did not begin: {complaint}")
            how = "hang" if line is None else f"crash (exit {status}): {complaint[-300:]}"
            campaign.outcomes[how.split(" ")[0]] += 1
            campaign.failures.append(f"mutant {about['number']} of {about['file']}: {how}")
            return about["number"] + 1
        told = json.loads(line)
        if "outcome" in told:
            campaign.take(about, told, time.monotonic() - began, refuses_all=READERS[name].refuses_all)
            reached = about["number"] + 1
        else:
            about = told
    return reached


def _read_lines(stream: TextIO, lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


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
    n_failed, victim = 0, Victim()
    for name in asked.readers or READERS:
        began = time.monotonic()
        campaign = run_campaign(victim, name, asked.mutants, seed=asked.seed)
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in campaign.outcomes.most_common())
        took = f"{time.monotonic() - began:.0f} s, slowest {campaign.slowest_s:.2f} s"
        say(f"{name}: {counts} ({took})")
        for failure in campaign.failures:
            say(f"  FAILED {failure}")
        n_failed += len(campaign.failures)
    victim.end()
    raise SystemExit(n_failed > 0)


if __name__ == "__main__":
    main()
