"""The demo from beginning to end: every step that is not done yet, two lineages side by side, then the page.

cohort              simulated patients with smears and expression (`data.simulate.cohort`)
images, concepts    two lineages on the smears, in this process
rna                 the lineage on expression, in a process beside
cases               all of them together, a case for every held-out patient
claims, index.html  what is said, held against the truth; the page that shows it
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from trilineage.core.errors import Interrupted
from trilineage.core.progress import duration
from trilineage.demo.beside import beside
from trilineage.demo.claims import Claim, read_claims
from trilineage.demo.cores import n_cores
from trilineage.demo.places import Demo, open_demo
from trilineage.demo.real_data import require_data
from trilineage.demo.records import count_done, do_step, is_done, remaining_s
from trilineage.demo.settings import DemoSettings
from trilineage.demo.steps import Phase, Step, phases_of

INDEX = "index.html"

logger = logging.getLogger(__name__)


class Told(NamedTuple):
    """What a finished demo leaves."""

    path: Path
    """Folder of everything."""
    page: Path
    """The page to open."""
    claims: tuple[Claim, ...]
    """What the page says, and whether it holds."""


def run_demo(settings: DemoSettings, out: Path | str, *, device: str = "auto") -> Told:
    """Tell the whole story into a folder; called again, it goes on where it stopped.

    Parameters
    ----------
    settings
        Scale, data and options.
    out
        Folder of everything.
    device
        `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises
    ------
    ConfigError
        The folder holds something else.
    Interrupted
        On SIGTERM or Ctrl-C: finished steps stay, unfinished Runs go on from their checkpoints.
    TrilineageError
        As the recipes.
    """
    demo = open_demo(settings, out, device)
    if not demo.is_simulated:
        require_data(demo)
    phases = phases_of(demo)
    try:
        for number, phase in enumerate(phases):
            _do_phase(demo, phases, number, phase)
    except KeyboardInterrupt:
        raise Interrupted(
            "the demo was stopped", seen=demo.path, remedy="run the same command again to go on"
        ) from None
    return Told(demo.path, demo.path / INDEX, read_claims(demo.path))


def _do_phase(demo: Demo, phases: Sequence[Phase], number: int, phase: Phase) -> None:
    """Do the steps of a phase that are not done; with one core, one lineage after the other."""
    if not any(not is_done(demo, step) for step in phase.beside):
        _do_steps(demo, phases, phase.steps)
    elif n_cores() == 1:
        _do_steps(demo, phases, (*phase.steps, *phase.beside))
    else:
        logger.info("beside: %s (log: %s)", "; ".join(step.title for step in phase.beside), demo.log)
        with beside(demo, number):
            _do_steps(demo, phases, phase.steps)


def _do_steps(demo: Demo, phases: Sequence[Phase], steps: Sequence[Step]) -> None:
    for step in steps:
        if not is_done(demo, step):
            n_done, n_steps = count_done(demo, phases)
            left = duration(remaining_s(demo, phases))
            logger.info("step %d of %d · %s · about %s left", n_done + 1, n_steps, step.title, left)
            do_step(demo, step)
