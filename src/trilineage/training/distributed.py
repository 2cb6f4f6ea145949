"""Several processes as torchrun starts them: who am I, sums over all, and one voice for decisions and files."""

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trilineage.core.errors import ConfigError

_TIMEOUT = timedelta(hours=2)
"""The other processes wait this long for the first one to validate or to write."""

_RELEASE_TIMEOUT_S = 5.0
"""Longest wait for a communication thread to let go of a tensor; microseconds unless the machine is starved."""

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Processes:
    """The processes that train together, seen from one of them."""

    rank: int = 0
    """Number of this process."""
    world: int = 1
    """Number of processes."""
    device: torch.device = _CPU
    """Where tensors must be to travel between the processes."""

    @property
    def is_main(self) -> bool:
        """Whether this process decides, shows progress and writes files."""
        return self.rank == 0

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes, the same to the last bit on each."""
        if self.world == 1:
            return tensor
        travelling = tensor.to(self.device, copy=True)
        dist.all_reduce(travelling)
        _until_released(travelling)
        return travelling.to(tensor.device)

    def tell_all(self, data: bytes | None) -> bytes:
        """Return the bytes that the main process gives (the others give None)."""
        if self.world == 1:
            assert data is not None
            return data
        size = torch.tensor([0 if data is None else len(data)], device=self.device)
        dist.broadcast(size, src=0)
        _until_released(size)
        content = torch.empty(int(size), dtype=torch.uint8, device=self.device)
        if data:
            content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        if int(size):
            dist.broadcast(content, src=0)
            _until_released(content)
        return content.cpu().numpy().tobytes()

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.world > 1:
            self.total(torch.zeros(1))


def join_processes(device: torch.device) -> Processes:
    """Join the other processes of torchrun (NCCL between GPUs, Gloo between CPUs), or be the only one.

    May be called any number of times. Reads what torchrun sets (`WORLD_SIZE`, `RANK`, ...).
    """
    if not dist.is_available() or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Processes()
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
        atexit.register(_leave)
    uses_gpu = dist.get_backend() == "nccl"
    home = torch.device("cuda", torch.cuda.current_device()) if uses_gpu else torch.device("cpu")
    return Processes(dist.get_rank(), dist.get_world_size(), home)


def choose_device(name: str = "auto") -> torch.device:
    """Resolve a device by name; `auto` takes a GPU if there is one (each process of torchrun its own), else the CPU.

    Raises
    ------
    ConfigError
        For a name that is no device, or a GPU that is not there.
    """
    n_gpus = torch.cuda.device_count()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if name == "auto":
        return torch.device("cuda", local_rank) if local_rank < n_gpus else torch.device("cpu")
    allowed = "auto, cpu" + "".join(f", cuda:{number}" for number in range(n_gpus))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError("no such device", seen=name, allowed=allowed, remedy="set --device auto") from None
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank)
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and (device.index or 0) >= n_gpus):
        raise ConfigError("this device is not there", seen=name, allowed=allowed, remedy="set --device auto")
    return device


class StepModule(nn.Module):
    """Model and step function as one module: what DDP must see is the whole way from batch to loss."""

    def __init__(self, model: nn.Module, step: Any):
        super().__init__()
        self.model = model
        self.step = step

    def forward(self, batch: Any) -> Any:
        """Return what the step function makes of the model and a batch."""
        return self.step(self.model, batch)


def spread(module: nn.Module, processes: Processes, device: torch.device) -> nn.Module:
    """Wrap a step so that gradients are averaged over the processes (`DistributedDataParallel`).

    Weights start, and buffers stay, as those of the main process. A parameter that no process uses in a step is left
    alone, as on one process.
    """
    if processes.world == 1:
        return module
    device_ids = [device] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(module, device_ids=device_ids, find_unused_parameters=True)


@contextlib.contextmanager
def main_process_first(processes: Processes) -> Iterator[None]:
    """Let the main process run the block (make a folder, download a file) before the others do."""
    if not processes.is_main:
        processes.wait()
    yield
    if processes.is_main:
        processes.wait()


def _until_released(tensor: Tensor) -> None:
    """Wait until the thread that sent a tensor has let go of it.

    Gloo's thread drops its reference some time after the caller goes on, and needs the interpreter for it. If that is
    shutting down by then, the process aborts ("terminate called without an active exception") after all its work.
    """
    mine = 3  # the caller's name, the argument's, and that of getrefcount
    give_up = time.monotonic() + _RELEASE_TIMEOUT_S
    while sys.getrefcount(tensor) > mine and time.monotonic() < give_up:
        time.sleep(0)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
