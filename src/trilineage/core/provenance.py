"""What a result was made with: versions, platform and time."""

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("anndata", "numba", "numpy", "pandas", "scikit-learn", "scipy", "torch")
"""Libraries whose version may change a number."""


def package_version() -> str:
    """Return the version of this package."""
    return _version("trilineage")


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that may change a number, without importing them."""
    return {name: _version(name) for name in LIBRARIES}


def provenance() -> dict[str, object]:
    """Return versions, Python, platform and the present time (UTC) as JSON-ready values."""
    return {
        "trilineage": package_version(),
        "libraries": library_versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "created": now(),
    }


def now() -> str:
    """Return the present time in UTC as ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
