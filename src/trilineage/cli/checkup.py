"""Look at this installation and this machine: what is there, what is missing, and which commands miss it."""

import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trilineage.core.errors import TrilineageError
from trilineage.core.machine import free_bytes, this_machine
from trilineage.core.provenance import package_version

Status = Literal["ok", "note", "problem"]

LEAST_PYTHON = (3, 11)
LEAST_MEMORY_GB = 4.0
"""Memory that the demo and the tutorials need."""
LEAST_DISK_GB, LITTLE_DISK_GB = 0.5, 5.0
"""Free space below which nothing can be written safely, and below which large data will not fit."""
WALK_S = 0.5
"""Time spent on adding up a cache; a larger one is said to be at least so large."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

_REQUIREMENT = re.compile(r"^([\w.-]+)\s*(?:\[[^]]*\])?\s*(?:>=\s*([\d.]+))?")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    """What it is."""
    status: Status
    """`ok`; `note`: some commands do less, or will be slow; `problem`: something does not work."""
    found: str
    """What there is."""
    remedy: str = ""
    """What to do about it."""
    needed_for: tuple[str, ...] = ()
    """Commands that miss it; empty for all of them."""


def check_everything() -> list[Check]:
    """Look at everything, quickly and without the network; a check that fails is a problem, not an error."""
    looks: tuple[Callable[[], Iterator[Check]], ...] = (
        _versions,
        _libraries,
        _processor,
        _memory,
        _accelerators,
        _disks,
        _caches,
        _encoder,
        _kernels,
        _programs,
    )
    return [check for look in looks for check in look()]


def is_ready(checks: list[Check]) -> bool:
    """Tell whether nothing is a problem."""
    return all(check.status != "problem" for check in checks)


def _versions() -> Iterator[Check]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check("trilineage", "ok", f"{package_version()} in {Path(__file__).parents[1]}")
    is_new = sys.version_info[:2] >= LEAST_PYTHON
    remedy = "" if is_new else f"install Python {'.'.join(map(str, LEAST_PYTHON))} or newer"
    yield Check("python", "ok" if is_new else "problem", f"{python} ({sys.executable})", remedy)


def _libraries() -> Iterator[Check]:
    """Hold what is installed against what the package asks for."""
    for name, least in _requirements():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "problem", "not installed", f"pip install {name}")
            continue
        is_old = bool(least) and _numbers(found) < _numbers(least)
        remedy = f"pip install --upgrade '{name}>={least}'" if is_old else ""
        yield Check(name, "problem" if is_old else "ok", found, remedy)


def _requirements() -> list[tuple[str, str]]:
    """Return name and least version of what every installation needs."""
    try:
        asked = importlib.metadata.requires("trilineage") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = (_REQUIREMENT.match(line) for line in asked if "extra ==" not in line)
    return sorted((match.group(1), match.group(2) or "") for match in found if match)


def _processor() -> Iterator[Check]:
    machine = this_machine()
    held = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    limits = f"; held to {', '.join(f'{name}={value}' for name, value in held.items())}" if held else ""
    yield Check("system", "ok", machine.system)
    yield Check("processor", "ok", f"{machine.processor}, {_counted(machine.n_cores, 'core')}{limits}")


def _memory() -> Iterator[Check]:
    machine = this_machine()
    if machine.memory_bytes is None:
        yield Check("memory", "note", "not known")
        return
    free = "" if machine.available_bytes is None else f", {_gb(machine.available_bytes)} free now"
    is_enough = machine.memory_bytes >= 0.9 * LEAST_MEMORY_GB * 1e9
    remedy = "" if is_enough else "set data.backed=yes and smaller batch sizes, or use a larger machine"
    needed = () if is_enough else ("trilineage demo", "trilineage images fit", "trilineage concepts fit")
    yield Check("memory", "ok" if is_enough else "note", _gb(machine.memory_bytes) + free, remedy, needed)


def _accelerators() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Check("torch", "problem", f"cannot be loaded: {error}", "install torch again for this platform")
        return
    yield Check("threads", "ok", f"{torch.get_num_threads()} (change them with --threads)")
    n_gpus = torch.cuda.device_count()
    names = ", ".join(f"cuda:{number} {torch.cuda.get_device_name(number)}" for number in range(n_gpus))
    remedy = "" if n_gpus else "everything works without; networks train faster on a GPU"
    slow = ("trilineage images fit", "trilineage images pretrain")
    yield Check(
        "GPU", "ok" if n_gpus else "note", names or "none that CUDA sees", remedy, () if n_gpus else slow
    )


def _disks() -> Iterator[Check]:
    places = {"working folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    for name, folder in places.items():
        free = free_bytes(folder)
        is_writable = os.access(folder, os.W_OK)
        if free is None or not is_writable:
            yield Check(name, "problem", f"{folder} cannot be written", "choose a folder that can be written")
            continue
        status: Status = "problem" if free < LEAST_DISK_GB * 1e9 else "ok"
        status = "note" if status == "ok" and free < LITTLE_DISK_GB * 1e9 else status
        remedy = "" if status == "ok" else "free some space"
        yield Check(name, status, f"{_gb(free)} free in {folder}", remedy)


def _caches() -> Iterator[Check]:
    from trilineage.data.download import cache_folder

    hub = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    for name, folder in {"downloads": cache_folder(), "weights from the hub": hub}.items():
        yield Check(f"cache of {name}", "ok", f"{_size(folder)} in {folder}")


def _encoder() -> Iterator[Check]:
    """Open the bundled encoder and check every digest."""
    try:
        from trilineage.models.backbones.bundled import bundled_run

        with bundled_run() as run:
            run.verify()
            n_bytes = sum((run.path / name).stat().st_size for name in run.manifest["files"])
            yield Check("bundled encoder", "ok", f"sound, {n_bytes / 1e6:.1f} MB")
    except (TrilineageError, ImportError, OSError, RuntimeError) as error:
        remedy = "install trilineage again, or name an encoder with --encoder or backbone.name"
        needed = ("trilineage concepts fit", "trilineage demo", "trilineage images fit --set frozen=true")
        yield Check("bundled encoder", "problem", str(error).split("\n")[0], remedy, needed)


def _kernels() -> Iterator[Check]:
    """Tell whether compiled code is kept from one start to the next."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(named) if named else Path(__file__).parents[1]
    is_kept = os.access(folder, os.W_OK) or not folder.exists()
    remedy = "" if is_kept else "set NUMBA_CACHE_DIR to a folder that can be written"
    found = f"kept in {folder}" if is_kept else f"compiled at every start: {folder} cannot be written"
    yield Check("compiled kernels", "ok" if is_kept else "note", found, remedy)


def _programs() -> Iterator[Check]:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    yield Check(
        "Chromium",
        "ok" if browser else "note",
        browser or "not found",
        "" if browser else "install Chromium to test pages; reading them needs any browser",
        () if browser else ("make test",),
    )
    torchrun = shutil.which("torchrun") or shutil.which("torchrun", path=str(Path(sys.executable).parent))
    yield Check(
        "torchrun",
        "ok" if torchrun else "note",
        torchrun or "not found",
        "" if torchrun else "use python -m torch.distributed.run in its place",
        () if torchrun else ("training on several processes",),
    )


def _size(folder: Path) -> str:
    """Add up the files of a folder, for a moment only."""
    if not folder.is_dir():
        return "nothing"
    total, end = 0, time.monotonic() + WALK_S
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            total += path.lstat().st_size if path.exists() else 0
        if time.monotonic() > end:
            return f"at least {_gb(total)}"
    return _gb(total)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:,.1f} GB"
