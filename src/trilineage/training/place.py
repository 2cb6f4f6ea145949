"""Where a fit runs: device, processes, checkpoints and the number that every generator comes from."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from trilineage.core.artifacts import Run
from trilineage.core.seeding import derive_seed
from trilineage.training.distributed import Processes, choose_device, join_processes


@dataclass(frozen=True)
class Place:
    """Where a fit runs and from which number: run-time arguments, no part of a model's configuration."""

    seed: int
    """Every generator of the fit is derived from it."""
    device: torch.device
    """Device of the computation."""
    checkpoints_dir: Path | None = None
    """Folder of the checkpoints; None keeps nothing and cannot resume."""
    processes: Processes = field(default_factory=Processes)
    """The processes that train together; one voice writes."""
    fingerprint: str = ""
    """What the checkpoints belong to (configuration and data); another one is refused."""
    name: str = ""
    """The stage, as the last part of the checkpoint folder."""

    def stage(self, name: str) -> "Place":
        """Return the place of one stage: its own folder and its own seed."""
        folder = None if self.checkpoints_dir is None else self.checkpoints_dir / name
        return replace(self, seed=derive_seed(self.seed, name), checkpoints_dir=folder, name=name)

    def of_run(self, run: Run) -> "Place":
        """Return the place of a Run: its checkpoints, and the configuration and data that they belong to."""
        fingerprint = f"{run.manifest['config_sha256']} {run.manifest['data'].get('sha256', '')}"
        return replace(self, checkpoints_dir=run.checkpoints_dir, fingerprint=fingerprint)


def choose_place(seed: int, device: str) -> Place:
    """Choose the device and join the other processes, if torchrun started several.

    Parameters
    ----------
    seed
        The number of the configuration.
    device
        `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises
    ------
    ConfigError
        The device is not there.
    """
    chosen = choose_device(device)
    return Place(derive_seed(seed, "fit"), chosen, processes=join_processes(chosen))
