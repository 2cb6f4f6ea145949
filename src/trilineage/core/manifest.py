"""The first page of a Run, `run.json`: kind, version, provenance, and the digest of every file."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from trilineage.core.errors import AlteredFileError, ArtifactError, NewerVersionError, StorageError
from trilineage.core.files import sha256_bytes, write_atomically

FORMAT_VERSION = 1
MANIFEST_NAME = "run.json"

_REQUIRED = {
    "kind": str,
    "format_version": int,
    "status": str,
    "seed": int,
    "config_sha256": str,
    "files": dict,
}
_LAST_ENTRY = b',\n "sha256": "%s"\n}\n'
_MAX_BYTES = 64 << 20


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write `run.json` atomically, with a digest of itself so that a changed letter is noticed."""
    content = _without_digest(manifest)
    write_atomically(folder / MANIFEST_NAME, content[:-3] + _LAST_ENTRY % sha256_bytes(content).encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check `run.json`.

    Raises
    ------
    ArtifactError
        If the folder is no Run, or its manifest is damaged.
    NewerVersionError
        If a newer version of this package wrote it.
    AlteredFileError
        If it does not match its own digest.
    """
    path = folder / MANIFEST_NAME
    data = read_bytes(path, _MAX_BYTES)
    manifest = _parse(data, folder)
    found = manifest.get("format_version")
    if type(found) is int and found > FORMAT_VERSION:
        raise NewerVersionError(
            f"{folder} was written by a newer version",
            seen=f"format {found}, trilineage {manifest.get('trilineage', 'unknown')}",
            allowed=f"format {FORMAT_VERSION} and older",
            remedy="update trilineage, or fit the model again with this version",
        )
    for key, kind in _REQUIRED.items():
        if type(manifest.get(key)) is not kind:
            raise _damaged(folder, f"{key} = {manifest.get(key)!r}")
    if not _has_own_digest(data, manifest):
        raise AlteredFileError(
            f"{path} was changed after it was written",
            remedy="restore the original file; a Run is not edited by hand",
        )
    for name in (*manifest["files"], *manifest.get("pending", {})):
        check_name(name)
    return manifest


def is_run(folder: Path) -> bool:
    """Tell whether a folder is a Run of a version this package reads, undamaged."""
    try:
        read_manifest(folder)
    except (ArtifactError, StorageError):
        return False
    return True


def check_name(name: str) -> None:
    """Refuse a file name that would leave the Run.

    Raises
    ------
    ArtifactError
        For an absolute path, a parent folder, a backslash, or nothing at all.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or ":" in name:
        raise ArtifactError(
            "a file name leads out of the Run",
            seen=repr(name),
            allowed="a relative path such as explain/genes.csv",
        )


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """Read a whole file of a Run.

    Raises
    ------
    ArtifactError
        If it is absent, larger than `limit` bytes, or cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read() if limit is None else stream.read(limit + 1)
    except OSError as error:
        raise ArtifactError(
            f"cannot read {path}",
            seen=error.strerror,
            allowed="a file of a Run made by trilineage",
            remedy="check the path, or run the command that makes it",
        ) from None
    if limit is not None and len(data) > limit:
        raise ArtifactError(f"{path} is too large to be what it claims", allowed=f"{limit:,} bytes")
    return data


def to_json(value: Any) -> bytes:
    """Return strict JSON: NaN and infinities become null, numpy values and dataclasses become plain ones."""
    text = json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _plain(value: Any) -> Any:
    """Return a value made of dictionaries, lists, texts, numbers, booleans and None only."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | int | bool):
        return value
    raise ArtifactError("a value cannot be written as JSON", seen=type(value).__name__)


def _without_digest(manifest: Mapping[str, Any]) -> bytes:
    """Return what the digest of a manifest is of."""
    return to_json({key: value for key, value in manifest.items() if key != "sha256"})


def _has_own_digest(data: bytes, manifest: Mapping[str, Any]) -> bool:
    """Tell whether the digest is that of the rest: of its bytes as they stand, or as they would be written."""
    digest = manifest.get("sha256")
    last = _LAST_ENTRY % str(digest).encode(errors="replace")
    as_it_stands = data.removesuffix(last) + b"\n}\n"
    if data.endswith(last) and sha256_bytes(as_it_stands) == digest:
        return True
    return digest == sha256_bytes(_without_digest(manifest))


def _parse(data: bytes, folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, error) from None
    if not isinstance(manifest, dict):
        raise _damaged(folder, type(manifest).__name__)
    return manifest


def _damaged(folder: Path, seen: object) -> ArtifactError:
    return ArtifactError(
        f"{folder} is not a Run of this package, or its {MANIFEST_NAME} is damaged",
        seen=seen,
        allowed="a folder made by a trilineage command",
        remedy="choose another folder, or make the Run again",
    )
