"""Run every benchmark (`make bench`), or those whose names are given (`make bench ONLY="reading decoder"`).

Each `bench_NAME.py` runs in a process of its own, so that times and peak memory are its own, and writes its table to
`benchmarks/results/NAME.md`. What it ran on, when and how long goes to `NAME.json` beside it, with the digest of the
table it belongs to. `make docs` puts both on one page, docs/benchmarks.md.
"""

import hashlib
import inspect
import json
import os
import platform
import runpy
import subprocess
import sys
import time
from datetime import UTC, datetime
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
    n_failed = 0
    for name in wanted:
        print(f"== {name}", flush=True)
        start_s = time.perf_counter()
        code = subprocess.run([sys.executable, __file__, "--one", name], check=False).returncode
        n_failed += code != 0
        if code == 0:
            keep_machine(name, time.perf_counter() - start_s)
    return n_failed


def keep_machine(name: str, took_s: float) -> None:
    """Write beside a table what it was made on."""
    about = {"kind": "trilineage benchmark", "version": 1, "benchmark": name}
    about |= {"table_sha256": hashlib.sha256((RESULTS / f"{name}.md").read_bytes()).hexdigest()}
    about |= {"made": datetime.now(UTC).date().isoformat(), "took_s": round(took_s)}
    write_atomically(RESULTS / f"{name}.json", (json.dumps(about | machine(), indent=2) + "\n").encode())


def machine() -> dict[str, object]:
    """Return what this machine is, and the versions on it."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory_gb()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "trilineage": package_version(),
        "libraries": library_versions(),
    }


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
