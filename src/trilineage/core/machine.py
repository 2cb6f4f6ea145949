"""The machine we run on: processor, cores and memory that we may use, free disk."""

import contextlib
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """What there is to compute with."""

    processor: str
    """Name of the processor."""
    n_cores: int
    """Cores that this process may use."""
    memory_bytes: int | None
    """Memory that this process may use: that of the machine, or the limit of a container; None where not known."""
    available_bytes: int | None
    """Memory that is free, or that the system would free, now."""
    system: str
    """Operating system and architecture."""


def this_machine() -> Machine:
    """Look at the machine; nothing is measured and nothing takes time."""
    total, available = _memory()
    limit = _number(_CGROUP / "memory.max")
    known = [size for size in (total, limit) if size is not None]
    return Machine(
        processor=processor(),
        n_cores=usable_cores(),
        memory_bytes=min(known) if known else None,
        available_bytes=available if available is None or limit is None else min(available, limit),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def processor() -> str:
    """Return the name of the processor as its maker writes it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            words = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(words, capture_output=True, text=True, check=True, timeout=2).stdout.strip()
    return platform.processor() or platform.machine() or "unknown processor"


def usable_cores() -> int:
    """Return the number of cores this process may use: its affinity, and the quota of a container rounded up."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        if quota != "max":
            n_cores = min(n_cores, max(1, -(-int(quota) // int(period))))
    return n_cores


def free_bytes(folder: Path) -> int | None:
    """Return the free space of the disk that a folder lies on, or would lie on; None where that cannot be known."""
    existing = next((place for place in (folder, *folder.absolute().parents) if place.exists()), None)
    with contextlib.suppress(OSError):
        return None if existing is None else shutil.disk_usage(existing).free
    return None


def _memory() -> tuple[int | None, int | None]:
    """Return total and available memory of the machine in bytes."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        lines = (line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        known = {name: int(rest.split()[0]) * 1024 for name, rest in lines}
        return known["MemTotal"], known["MemAvailable"]
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), None
    return None, None


def _number(path: Path) -> int | None:
    """Return the number in a file of the system; None where there is no file, or no number."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None
