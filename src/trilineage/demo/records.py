"""What is known of finished steps: how long each took, kept beside the results so that a stopped demo goes on."""

import json
import time
from collections.abc import Iterable, Sequence

from trilineage.core.files import write_atomically
from trilineage.demo.places import Demo
from trilineage.demo.steps import Phase, Step


def seconds_taken(demo: Demo, step: Step) -> float | None:
    """Return how long a finished step took; None if it is not finished."""
    path = demo.path / "steps" / f"{step.name}.json"
    return float(json.loads(path.read_text("utf-8"))["seconds"]) if path.is_file() else None


def do_step(demo: Demo, step: Step) -> None:
    """Do a step and write down how long it took."""
    start = time.monotonic()
    step.work(demo)
    record = {"step": step.name, "title": step.title, "seconds": round(time.monotonic() - start, 1)}
    write_atomically(demo.path / "steps" / f"{step.name}.json", json.dumps(record).encode())


def is_done(demo: Demo, step: Step) -> bool:
    """Return whether a step is finished."""
    return seconds_taken(demo, step) is not None


def remaining_s(demo: Demo, phases: Sequence[Phase]) -> float:
    """Estimate the seconds to the end from the steps that are finished; what runs side by side takes the longer time.

    Every step is believed to take its usual time, times how much slower or faster than usual the finished ones were.
    """
    every = [step for phase in phases for step in (*phase.steps, *phase.beside)]
    taken = {step.name: seconds_taken(demo, step) for step in every}
    measured = [(seconds, step.seconds) for step in every if (seconds := taken[step.name]) is not None]
    usual = sum(usual for _, usual in measured)
    pace = sum(seconds for seconds, _ in measured) / usual if usual else 1.0

    def left(steps: Iterable[Step]) -> float:
        return sum(step.seconds for step in steps if taken[step.name] is None)

    return pace * sum(max(left(phase.steps), left(phase.beside)) for phase in phases)


def count_done(demo: Demo, phases: Sequence[Phase]) -> tuple[int, int]:
    """Return how many steps are finished, and how many there are."""
    every = [step for phase in phases for step in (*phase.steps, *phase.beside)]
    return sum(is_done(demo, step) for step in every), len(every)
