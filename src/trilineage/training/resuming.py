"""When a training writes itself down, what it finds when it comes back, and whether that belongs to it."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trilineage.core.errors import ArtifactError
from trilineage.core.files import sha256_bytes
from trilineage.training.checkpoint import Checkpoint, CheckpointStore, decode_checkpoint
from trilineage.training.distributed import Processes
from trilineage.training.settings import TrainingSettings
from trilineage.training.state import TrainingState


class Found(NamedTuple):
    """A checkpoint of this training."""

    state: TrainingState
    """Counters and history."""
    tensors: dict[str, Tensor]
    """Tensors as they were saved, on the CPU."""
    scaler: dict[str, Any]
    """State of the loss scaling of float16."""


class Keeper:
    """Writes checkpoints from the main process and gives the newest to all.

    Parameters
    ----------
    store
        Where they are; None keeps none.
    identity
        What a checkpoint must agree with, see `identity`.
    processes
        The processes that train together.
    every_s
        Seconds between two checkpoints; 0: whenever asked.
    """

    def __init__(
        self,
        store: CheckpointStore | None,
        identity: Mapping[str, Any],
        processes: Processes,
        *,
        every_s: float,
    ):
        self.store, self.identity, self.processes, self.every_s = store, dict(identity), processes, every_s
        self.kept_step: int | None = None
        """Step of the newest checkpoint; None while there is none."""
        self._last_s = time.monotonic()

    def is_due(self) -> bool:
        """Tell whether it is time for this process to write a checkpoint."""
        if self.store is None or not self.processes.is_main:
            return False
        return time.monotonic() - self._last_s >= self.every_s

    def save(self, state: TrainingState, tensors: Mapping[str, Tensor], *, scaler: Mapping[str, Any]) -> None:
        """Write a checkpoint; the tensors are on the disk when this returns."""
        if self.store is None:
            return
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        kept = {"training": state.to_dict(), "identity": self.identity, "scaler": dict(scaler)}
        self.store.save(Checkpoint(state.step, arrays, kept))
        self.kept_step = state.step
        self._last_s = time.monotonic()

    def load(self) -> Found | None:
        """Return the newest sound checkpoint, the same on every process, or None.

        Raises
        ------
        ArtifactError
            If it belongs to other data or options.
        """
        if self.store is None:
            return None
        data = self.processes.tell_all((self.store.newest() or b"") if self.processes.is_main else None)
        if not data:
            return None
        checkpoint = decode_checkpoint(data)
        _require_same(checkpoint.state["identity"], self.identity, where=self.store.folder)
        self.kept_step = checkpoint.step
        tensors = {name: torch.from_numpy(array) for name, array in checkpoint.tensors.items()}
        return Found(TrainingState(**checkpoint.state["training"]), tensors, checkpoint.state["scaler"])


def identity(
    model: nn.Module, settings: TrainingSettings, *, name: str, seed: int, n_samples: int, fingerprint: str
) -> dict[str, Any]:
    """Return what must be the same for a checkpoint to be gone on with."""
    shapes = [(key, list(value.shape)) for key, value in model.state_dict().items()]
    parts = {"name": name, "seed": seed, "samples": n_samples, "data and configuration": fingerprint}
    parts["shapes of the weights"] = sha256_bytes(repr(shapes).encode())
    options = {
        key: list(v) if isinstance(v, tuple) else v for key, v in settings.options_that_matter().items()
    }
    return parts | options


def _require_same(found: Mapping[str, Any], expected: Mapping[str, Any], *, where: object) -> None:
    """Refuse a checkpoint of another training.

    Raises
    ------
    ArtifactError
        Naming what differs.
    """
    differing = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
    if differing:
        seen = ", ".join(f"{key}: {found.get(key)!r} then, {expected.get(key)!r} now" for key in differing)
        raise ArtifactError(
            f"the checkpoints in {where} belong to another training",
            seen=seen,
            allowed="the same data and options as in the run that wrote them",
            remedy="write to another folder, or remove these checkpoints to begin again",
        )


def with_prefix(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put a word and a slash before every name."""
    return {f"{prefix}/{name}": value for name, value in values.items()}


def under_prefix(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what `with_prefix` named with this word, by its own name."""
    return {name.removeprefix(f"{prefix}/"): v for name, v in values.items() if name.startswith(f"{prefix}/")}
