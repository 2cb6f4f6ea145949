"""Files that appear whole or not at all, and the digests that prove they are unchanged."""

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from trilineage.core.errors import StorageError

_STORAGE_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.EIO, errno.EFBIG}
)
"""Reasons of the disk, not of the caller: full, read-only, forbidden, over quota, broken, over the size limit."""

_BLOCK_BYTES = 1 << 20


def write_atomically(path: Path | str, data: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old bytes or the new ones and nothing between.

    The bytes go to a temporary file in the same folder, are flushed to the disk, renamed over the target, and the
    folder is flushed. Missing folders are made.

    Raises
    ------
    StorageError
        If the disk is full, read-only or out of reach; the old file is intact.
    """
    with atomic_path(path) as temporary, _explained(Path(path)), open(temporary, "xb") as stream:
        stream.write(data)


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Lend a temporary path beside `path`, for libraries that open files by name; it takes its place at the end.

    If the block raises, the temporary file is removed and the old file stays as it was. The temporary name keeps the
    suffix of `path`, since many libraries choose the format by it.

    Raises
    ------
    StorageError
        If the disk is full, read-only or out of reach, or if the block wrote nothing.
    """
    target = Path(path)
    with _explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name[:100]}.{secrets.token_hex(6)}.tmp{target.suffix}"
    try:
        with _explained(target, only=_STORAGE_ERRNOS):
            yield temporary
        with _explained(target):
            _flush(temporary)
            os.replace(temporary, target)
            _flush(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def is_temporary(name: str) -> bool:
    """Tell whether a file name is one that `atomic_path` lends, left behind by a killed process."""
    return name.startswith(".") and ".tmp" in name


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits, reading it in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    """Force a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(target: Path, only: frozenset[int] | None = None) -> Iterator[None]:
    """Turn an OSError (of the kinds in `only`, or of any kind) into a StorageError that names the target."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise StorageError(
            f"cannot write {target}",
            seen=error.strerror or error,
            allowed="a folder that can be written and has free space",
            remedy="free space, change the permissions or choose another place, then run the same command again",
        ) from error
