"""What every test has: one thread, shapes and types checked at every call, and the real data where there is any."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before numpy, numba or torch is first imported; torch obeys OMP's
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis  # noqa: E402  (the variables above must be set first)
import pytest  # noqa: E402

SOURCE = Path(__file__).parents[1] / "src"
sys.path.insert(0, str(Path(__file__).parent))  # what lies beside this file and tests of several floors use

import checked_calls  # noqa: E402

checked_calls.install()

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


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Leave types and shapes unchecked in a simulation of many studies; other tests check what it calls."""
    with checked_calls.switched_off():
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the working copy."""
    return SOURCE.parent
