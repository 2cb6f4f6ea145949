"""Run every benchmark (`make bench`), or those whose names are given (`make bench ONLY="reading decoder"`).

Each `bench_NAME.py` runs in a process of its own, so that times and peak memory are its own, and writes its tables to
`benchmarks/results/`. What they ran on and how long they took goes to `benchmarks/results/machine.md`.
"""

import inspect
import os
import platform
import runpy
import subprocess
import sys
import time
from pathlib import Path

from trilineage.core.files import write_atomically
from trilineage.core.provenance import library_versions, package_version

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def names() -> list[str]:
    """Return the names of the benchmarks there are."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def run_one(name: str) -> None:
    """Run one benchmark in this process."""
    path = HERE / f"bench_{name}.py"
    sys.path.insert(0, str(HERE))
    sys.argv = [str(path)]
    main = runpy.run_path(str(path))["main"]
    main(RESULTS) if inspect.signature(main).parameters else main()


def run_all(wanted: list[str]) -> int:
    """Run benchmarks one after the other, each in its own process; return how many failed."""
    RESULTS.mkdir(exist_ok=True)
    rows, n_failed = [], 0
    for name in wanted:
        print(f"== {name}", flush=True)
        start_s = time.perf_counter()
        code = subprocess.run([sys.executable, __file__, "--one", name], check=False).returncode
        n_failed += code != 0
        outcome = "done" if code == 0 else f"failed ({code})"
        rows.append(f"| {name} | {outcome} | {time.perf_counter() - start_s:,.0f} |")
    write_atomically(RESULTS / "machine.md", machine_page(rows).encode())
    return n_failed


def machine_page(rows: list[str]) -> str:
    """Return the page that says what the benchmarks ran on."""
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    return "\n".join(
        [
            "# Where the last benchmarks ran",
            "",
            f"{processor()}, {os.cpu_count()} cores, {memory_gb():.0f} GB, {platform.system()} {platform.machine()},",
            f"Python {platform.python_version()}, trilineage {package_version()}, {versions}.",
            "",
            "| Benchmark | Outcome | Seconds |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def processor() -> str:
    """Return the name of the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.processor() or "unknown processor")


def memory_gb() -> float:
    """Return the memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def checked(wanted: list[str]) -> list[str]:
    """Return the names asked for, or all of them; leave with a sentence if one does not exist."""
    unknown = [name for name in wanted if name not in names()]
    if unknown:
        raise SystemExit(f"There is no benchmark {', '.join(unknown)}; there are: {', '.join(names())}.")
    return wanted or names()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_one(sys.argv[2])
    else:
        sys.exit(min(run_all(checked(sys.argv[1:])), 1))
