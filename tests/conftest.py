"""What every test has: one thread, shapes and types checked at every call, and the real data where there is any."""

import os
import sys
import types
from pathlib import Path
from typing import Any, Self, get_args

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before numpy, numba or torch is first imported; torch obeys OMP's
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis  # noqa: E402  (the variables above must be set first)
import pytest  # noqa: E402
from beartype import BeartypeConf, beartype  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

SOURCE = Path(__file__).parents[1] / "src"
sys.path.insert(0, str(Path(__file__).parent))  # `together.py`, which tests of several floors use


def _checked_modules() -> list[str]:
    """Name every module but the compiled kernels, and no package: its name would take its kernels with it."""
    paths = (SOURCE / "trilineage").rglob("*.py")
    return sorted(
        ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for path in paths
        if not path.stem.endswith("kernels") and path.stem != "__init__"
    )


# An int is welcome where a float is asked for, as PEP 484 says.
_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))


def _check(function: object) -> object:
    """Check a function's arguments and result; `Self` passes, for the checker sees no class around a method."""
    annotations = getattr(function, "__annotations__", {})
    for name, kind in annotations.items():
        if kind is Self or Self in get_args(kind):
            annotations[name] = Any
    return _beartype(function)


_checker = types.ModuleType("trilineage_shape_checker")
_checker.check = _check  # type: ignore[attr-defined]
sys.modules[_checker.__name__] = _checker
install_import_hook(_checked_modules(), f"{_checker.__name__}.check")

hypothesis.settings.register_profile(
    "house",
    derandomize=True,
    deadline=None,
    max_examples=40,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the public data sets, from the environment variable TRILINEAGE_DATA."""
    folder = os.environ.get("TRILINEAGE_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TRILINEAGE_DATA names no folder of public data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the working copy."""
    return SOURCE.parent
