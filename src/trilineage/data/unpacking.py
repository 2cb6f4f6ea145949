"""Archives unpacked so that nothing leaves their folder, nothing but files appears, and a bomb stops early."""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from trilineage.core.config import Settings
from trilineage.core.errors import FormatError, StorageError, UnsafeFileError
from trilineage.core.progress import progress

_BLOCK_BYTES = 1 << 20
_LEFT_OUT = ("__MACOSX", ".DS_Store")
"""What macOS adds to archives; no part of anybody's data."""
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression this Python lacks
    RuntimeError,  # a password
)


class UnpackingSettings(Settings):
    """How much an archive may become."""

    max_files: int = 2_000_000
    """Files in one archive."""
    max_ratio: float = 200.0
    """Unpacked bytes per byte of the archive; pictures reach 1 to 30, bombs thousands."""
    free_bytes: int = 64_000_000
    """Unpacked size up to which the ratio is not looked at."""


def is_archive(path: Path | str) -> bool:
    """Tell whether a file is a zip or tar archive by its bytes."""
    return _is_zip(Path(path)) or tarfile.is_tarfile(path)


def _is_zip(path: Path) -> bool:
    """Tell by the first bytes: a tar whose last member is a zip would pass `zipfile.is_zipfile`."""
    with open(path, "rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def unpack(archive: Path | str, folder: Path | str, settings: UnpackingSettings | None = None) -> int:
    """Unpack a zip or tar file (also gz, bz2, xz) into a new folder and return the number of files.

    Only plain files and folders are made, with the permissions of any new file. The folder takes its name when all is
    unpacked; if anything is wrong, nothing stays.

    Raises
    ------
    UnsafeFileError
        For an absolute path, `..`, a link, a device, the same path twice, too many files, or a bomb.
    FormatError
        For a file that is no archive, is encrypted or broken.
    StorageError
        If the folder exists with content, or the disk is full.
    """
    source, target = Path(archive), Path(folder)
    if target.exists() and any(target.iterdir()):
        raise StorageError(
            f"cannot unpack {source.name}",
            seen=f"{target} exists and is not empty",
            allowed="a new or empty folder",
            remedy="remove it or choose another folder",
        )
    temporary = target.parent / f".{target.name}.unpacking"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with _explained(source, target):
            temporary.mkdir(parents=True)
            n_files = _write_all(source, temporary, settings or UnpackingSettings())
            if target.exists():
                target.rmdir()
            temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return n_files


def _write_all(source: Path, folder: Path, settings: UnpackingSettings) -> int:
    """Write every file of the archive and count what becomes of it."""
    allowance = max(settings.free_bytes, int(settings.max_ratio * source.stat().st_size))
    n_files = n_bytes = 0
    with progress(f"unpacking {source.name}", None, "files") as meter:
        for name, stream in _members(source):
            n_files += 1
            if n_files > settings.max_files:
                raise _unsafe(source, f"more than {settings.max_files:,} files", "a data set of files")
            target = _new_file(source, folder, name)
            with stream, target:
                while block := stream.read(_BLOCK_BYTES):
                    n_bytes += len(block)
                    if n_bytes > allowance:
                        raise _unsafe(
                            source,
                            f"more than {allowance:,} bytes from {source.stat().st_size:,}",
                            f"{settings.max_ratio:g} bytes per byte of the archive",
                        )
                    target.write(block)
            meter.advance(1)
    return n_files


def _new_file(source: Path, folder: Path, name: str) -> IO[bytes]:
    """Open the file of a member; a path that is taken, as a file or a folder, is refused."""
    path = folder / _safe_path(source, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "xb")
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise _unsafe(source, f"{name!r} where something is already", "each path once") from None


def _members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Give each plain file of an archive with its name; refuse everything that is neither file nor folder."""
    if _is_zip(source):
        yield from _zip_members(source)
    elif tarfile.is_tarfile(source):
        yield from _tar_members(source)
    else:
        raise FormatError(
            f"{source} is no archive", allowed="zip, tar, tar.gz, tar.bz2, tar.xz", remedy="fetch it again"
        )


def _zip_members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(source) as archive:
        for entry in archive.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _unsafe(source, f"{entry.filename!r} is a link or a device", "files and folders")
            if not entry.is_dir() and not _is_left_out(entry.filename):
                yield entry.filename, archive.open(entry)


def _tar_members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(source) as archive:
        for entry in archive:
            if not (entry.isreg() or entry.isdir()):
                raise _unsafe(source, f"{entry.name!r} is a link or a device", "files and folders")
            stream = archive.extractfile(entry) if entry.isreg() and not _is_left_out(entry.name) else None
            if stream is not None:
                yield entry.name, stream
        while archive.fileobj is not None and archive.fileobj.read(_BLOCK_BYTES):
            pass  # the checksum of a compressed tar stands behind its last member


def _is_left_out(name: str) -> bool:
    return any(part in _LEFT_OUT for part in PurePosixPath(name).parts)


def _safe_path(source: Path, name: str) -> Path:
    """Return a member's path inside the folder, or refuse it."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    is_outside = not parts or parts[0] == "/" or ".." in parts or ":" in parts[0] or "\0" in name
    if is_outside:
        raise _unsafe(source, f"the path {name!r}", "paths inside the archive's own folder")
    return Path(*parts)


def _unsafe(source: Path, seen: str, allowed: str) -> UnsafeFileError:
    return UnsafeFileError(
        f"{source} will not be unpacked", seen=seen, allowed=allowed, remedy="do not use this archive"
    )


@contextmanager
def _explained(source: Path, target: Path) -> Iterator[None]:
    """Say in our words what the archive or the disk complains of."""
    try:
        yield
    except _DAMAGED as error:
        raise FormatError(
            f"{source} cannot be unpacked",
            seen=error,
            allowed="a whole archive without a password",
            remedy="fetch it again",
        ) from None
    except OSError as error:
        raise _disk_or_archive(source, target, error) from error


def _disk_or_archive(source: Path, target: Path, error: OSError) -> Exception:
    """Tell a broken stream (zlib and friends raise OSError without a number) from a disk that cannot take more."""
    details: dict[str, Any] = {"seen": error.strerror or error}
    if error.errno is None:
        return FormatError(
            f"{source} cannot be unpacked", **details, allowed="a whole archive", remedy="fetch it again"
        )
    return StorageError(
        f"cannot unpack into {target}",
        **details,
        allowed="a folder that can be written and has room",
        remedy="free space or choose another folder, then run the same command again",
    )
