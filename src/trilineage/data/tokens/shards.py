"""Shards of tokens on disk: each appears whole, and counts as finished only when its mark lies beside it.

A folder holds `tokens.json` (what the tokens are of, how many images there are and how many to a shard) and, for every
shard, `tokens_000000.npy` (image token width), `norms_000000.npy` (image token) and its mark `done_000000.json` with
the digests of both. The mark is written last, so what lies beside no mark is made again.
"""

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from jaxtyping import Float, Float32

from trilineage.core.errors import AlteredFileError, ArtifactError, NewerVersionError
from trilineage.core.files import atomic_path, is_temporary, sha256_file, write_atomically
from trilineage.data.tokens.source import TokenSource

FORMAT_VERSION = 1
ABOUT_NAME = "tokens.json"

_MAX_NAMED = 8


@dataclass(frozen=True)
class TokenFolder:
    """A folder of shards: where each lies and which images it holds."""

    path: Path
    """The folder."""
    source: TokenSource
    """What the tokens are of."""
    n_images: int
    """Images of all shards."""
    images_per_shard: int
    """Images of a shard; the last may have fewer."""

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return -(-self.n_images // self.images_per_shard)

    def images_of(self, number: int) -> range:
        """Return the positions of the images of a shard."""
        start = number * self.images_per_shard
        return range(start, min(start + self.images_per_shard, self.n_images))

    def shape_of(self, number: int) -> tuple[int, int, int]:
        """Return images, tokens and width of a shard."""
        return len(self.images_of(number)), self.source.n_tokens, self.source.width

    def tokens_path(self, number: int) -> Path:
        """Return the file of the tokens of a shard."""
        return self.path / f"tokens_{number:06d}.npy"

    def norms_path(self, number: int) -> Path:
        """Return the file of the norms of a shard."""
        return self.path / f"norms_{number:06d}.npy"

    def mark_path(self, number: int) -> Path:
        """Return the mark that a shard is finished."""
        return self.path / f"done_{number:06d}.json"

    def write(self) -> None:
        """Write `tokens.json`; several processes may do so at once, as they write the same."""
        content = {"format_version": FORMAT_VERSION, "source": self.source.to_dict()}
        content |= {"n_images": self.n_images, "images_per_shard": self.images_per_shard}
        write_atomically(self.path / ABOUT_NAME, json.dumps(content, indent=1).encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `tokens.json`.

        Raises
        ------
        ArtifactError
            If the folder holds no tokens, or the file is damaged.
        NewerVersionError
            If a newer version of this package wrote it.
        """
        about = path / ABOUT_NAME
        if not about.is_file():
            raise ArtifactError(
                f"{path} holds no tokens",
                seen=f"no {ABOUT_NAME}",
                remedy=f"check the path, or make them: {_command(path)}",
            )
        content = _parsed(about)
        version = content.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise NewerVersionError(
                f"{about} was written by a newer version",
                seen=f"format {version}",
                allowed=f"format {FORMAT_VERSION} and older",
                remedy="update trilineage",
            )
        sizes: list[Any] = [content.get("n_images"), content.get("images_per_shard")]
        if not isinstance(content.get("source"), dict) or not all(type(n) is int and n > 0 for n in sizes):
            raise ArtifactError(f"{about} is damaged", remedy=f"delete it and go on: {_command(path)}")
        return cls(path, TokenSource.from_dict(content["source"]), sizes[0], sizes[1])

    def mark(self, number: int) -> "ShardMark | None":
        """Return the mark of a shard, or None where it is unfinished, of other tokens, or its files are not whole."""
        path = self.mark_path(number)
        try:
            mark = ShardMark(**json.loads(path.read_bytes()))
            sizes = [self.tokens_path(number).stat().st_size, self.norms_path(number).stat().st_size]
        except (OSError, ValueError, TypeError):
            return None
        is_whole = mark.key == self.source.key and sizes == [mark.tokens_bytes, mark.norms_bytes]
        return mark if is_whole else None

    def unfinished(self) -> list[int]:
        """Return the shards that are still to be made."""
        return [number for number in range(self.n_shards) if self.mark(number) is None]

    def require_finished(self) -> None:
        """Refuse a folder with unfinished shards.

        Raises
        ------
        ArtifactError
            If there are; they are named, and the command that goes on.
        """
        left = self.unfinished()
        if left:
            raise ArtifactError(
                f"{len(left)} of {self.n_shards} shards of tokens in {self.path} are unfinished",
                seen=f"no sound mark of shards {ranges(left)}",
                allowed="all shards finished",
                remedy=f"run the same extraction again, it goes on: {_command(self.path)}",
            )

    def open_shard(self, number: int, *, verify: bool) -> Float[np.ndarray, "image token width"]:
        """Map the tokens of a finished shard into memory.

        Raises
        ------
        AlteredFileError
            If the file is not the one that was written.
        """
        path, mark = self.tokens_path(number), self.mark(number)
        if mark is None:
            raise _altered(path, "a shard without a sound mark")
        if verify and sha256_file(path) != mark.tokens_sha256:
            raise _altered(path, "another SHA-256 than its mark has")
        return _mapped(path, self.shape_of(number), np.dtype(self.source.dtype))

    def read_norms(self, number: int) -> Float32[np.ndarray, "image token"]:
        """Read the norms of a finished shard; raises AlteredFileError as `open_shard`."""
        path, mark = self.norms_path(number), self.mark(number)
        if mark is None or sha256_file(path) != mark.norms_sha256:
            raise _altered(path, "another SHA-256 than its mark has")
        return np.array(_mapped(path, self.shape_of(number)[:2], np.dtype(np.float32)))


@dataclass(frozen=True)
class ShardMark:
    """What is known of a finished shard."""

    key: str
    """`TokenSource.key` of its tokens."""
    first: int
    """Position of its first image."""
    n_images: int
    """Number of its images."""
    tokens_sha256: str
    """SHA-256 of the file of its tokens."""
    norms_sha256: str
    """SHA-256 of the file of its norms."""
    tokens_bytes: int
    """Size of the file of its tokens."""
    norms_bytes: int
    """Size of the file of its norms."""
    median_norm: float
    """Median norm of its tokens."""
    largest_norm: float
    """Largest norm."""
    seconds: float
    """Time from its first image to its last."""


class TokenShardWriter:
    """Takes the tokens of a shard in order; made by `write_shard`, which finishes it."""

    def __init__(self, stream: BinaryIO, shape: tuple[int, int, int], dtype: np.dtype[Any]):
        self.stream, self.shape, self.dtype = stream, shape, dtype
        self.norms = np.zeros(shape[:2], np.float32)
        self.n_done = 0
        self._digest = hashlib.sha256()
        self._write(_header(shape, dtype))

    @property
    def sha256(self) -> str:
        """Digest of what was written so far."""
        return self._digest.hexdigest()

    def add(
        self, tokens: Float[np.ndarray, "image token width"], norms: Float32[np.ndarray, "image token"]
    ) -> None:
        """Append the tokens of the next images."""
        stop = self.n_done + len(tokens)
        assert tokens.dtype == self.dtype
        assert tokens.shape[1:] == self.shape[1:]
        self.norms[self.n_done : stop] = norms
        self._write(np.ascontiguousarray(tokens).data.cast("B"))
        self.n_done = stop

    def _write(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self.stream.write(data)


@contextlib.contextmanager
def write_shard(folder: TokenFolder, number: int, *, clock: Any) -> Iterator[TokenShardWriter]:
    """Lend a writer for the tokens of a shard; files and mark take their places when the block ends well.

    What a killed process left of this shard is removed first. A crash at any moment leaves an unfinished shard or a
    finished one, never a shard that looks finished.

    Parameters
    ----------
    clock
        Seconds that only grow.

    Raises
    ------
    StorageError
        If the disk is full, read-only or out of reach; nothing of this shard stays.
    """
    path, start_s = folder.tokens_path(number), clock()
    _remove_remains(folder, number)
    with atomic_path(path) as temporary, open(temporary, "xb") as stream:
        writer = TokenShardWriter(stream, folder.shape_of(number), np.dtype(folder.source.dtype))
        yield writer
        assert writer.n_done == writer.shape[0]
    norms = _header(writer.shape[:2], np.dtype(np.float32)) + writer.norms.tobytes()
    write_atomically(folder.norms_path(number), norms)
    mark = ShardMark(
        key=folder.source.key,
        first=folder.images_of(number).start,
        n_images=writer.n_done,
        tokens_sha256=writer.sha256,
        norms_sha256=hashlib.sha256(norms).hexdigest(),
        tokens_bytes=path.stat().st_size,
        norms_bytes=len(norms),
        median_norm=float(np.median(writer.norms)),
        largest_norm=float(writer.norms.max()),
        seconds=round(clock() - start_s, 3),
    )
    write_atomically(folder.mark_path(number), json.dumps(asdict(mark), indent=1).encode())


def ranges(numbers: list[int]) -> str:
    """Return ascending numbers as text, runs of them as ranges.

    Examples
    --------
    >>> ranges([0, 2, 3, 4, 9])
    '0, 2-4, 9'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:_MAX_NAMED]]
    return ", ".join(shown) + (f" and {len(runs) - len(shown)} more runs" if len(runs) > len(shown) else "")


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the first bytes of a .npy file."""
    stream = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()


def _mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _altered(path, str(error)) from None
    if array.shape != shape or array.dtype != dtype:
        raise _altered(path, f"{array.dtype} of shape {array.shape}")
    return array


def _remove_remains(folder: TokenFolder, number: int) -> None:
    """Remove the mark of a shard that is not whole, and temporary files that a killed process left of it."""
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.mark_path(number).unlink(missing_ok=True)
    paths = (folder.tokens_path(number), folder.norms_path(number), folder.mark_path(number))
    for path in folder.path.iterdir():
        if is_temporary(path.name) and any(own.name in path.name for own in paths):
            path.unlink(missing_ok=True)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged", seen=error) from None
    return content if isinstance(content, dict) else {}


def _altered(path: Path, seen: str) -> AlteredFileError:
    return AlteredFileError(
        f"{path} is not the file that was written",
        seen=seen,
        remedy=f"delete its mark and go on: {_command(path.parent)}",
    )


def _command(folder: Path) -> str:
    return f"trilineage concepts tokens --config C --shard i/n --out {folder}"
