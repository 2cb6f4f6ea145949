"""Tokens of many images: extracted to shards on disk by any number of processes, or made on the fly."""

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from trilineage.core.errors import ConfigError, DataError, StorageError
from trilineage.core.files import sha256_file
from trilineage.core.progress import progress
from trilineage.data.images.batches import ImageBatches
from trilineage.data.images.table import ImageTable
from trilineage.data.tokens.reader import require_source
from trilineage.data.tokens.shards import ABOUT_NAME, TokenFolder, write_shard
from trilineage.data.tokens.source import TokenSource
from trilineage.models.encoder import TokenEncoder
from trilineage.models.streaming import images_per_batch, in_batches, stream_batches

_TYPES = {"float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class ExtractionReport:
    """What an extraction has done."""

    folder: Path
    """Where the shards are."""
    n_images: int
    """Images whose tokens were extracted now."""
    n_before: int
    """Images of this share whose shards were finished before."""
    n_tokens: int
    """Tokens extracted now."""
    n_bytes: int
    """Bytes of the tokens extracted now."""
    seconds: float
    """Time it took."""
    left_elsewhere: tuple[int, ...]
    """Shards of other processes that were unfinished at the end."""

    @property
    def images_per_second(self) -> float:
        """Images extracted per second, decoding and writing included; 0 where there was nothing to do."""
        return self.n_images / self.seconds if self.n_images else 0.0


def extract_tokens(  # noqa: PLR0913  (what, where, which share, and how it is computed)
    encoder: TokenEncoder,
    table: ImageTable,
    folder: Path | str,
    *,
    shard: tuple[int, int] = (0, 1),
    images_per_shard: int = 512,
    workers: int = 0,
    device: torch.device | str = "cpu",
    check: Callable[[], None] | None = None,
) -> ExtractionReport:
    """Extract the tokens of images to shards on disk; what is finished already stays, so a killed extraction goes on.

    Memory: one batch per worker, whatever the number of images. Processes on any number of machines may work on one
    folder, each with another share.

    Parameters
    ----------
    encoder
        Whose tokens; moved to `device`.
    table
        The images, the same in every process.
    folder
        Where the shards go; made if absent.
    shard
        Share of this process: `(i, n)` makes every n-th shard from the i-th, counted from 0.
    images_per_shard
        Images of a shard: what a kill loses at most.
    workers
        Threads that decode and, on a CPU, compute; 0: one per core.
    device
        Where the backbone computes.
    check
        Called after every batch; what it raises stops the extraction with finished shards kept.

    Raises
    ------
    ConfigError
        If there is no such share, or the folder's shards have another size.
    DataError
        If a token is not finite, or too large for the type; image and token are named.
    ArtifactError
        If the folder holds tokens of another backbone, block or other images.
    StorageError
        If the disk is full, read-only or out of reach; finished shards stay.
    ImageError
        If an image can no longer be read.
    """
    store = _open_folder(encoder, table, Path(folder), images_per_shard)
    share = _share(store, shard)
    todo = [number for number in share if store.mark(number) is None]
    n_share, n_todo = (sum(len(store.images_of(number)) for number in part) for part in (share, todo))
    start_s = time.perf_counter()
    with progress("tokens", n_todo, "images") as meter, _kept(store, todo):
        stream = computed_tokens(encoder, table, _batches(encoder, store, todo, device), workers, device)
        with contextlib.closing(stream):
            for number in todo:
                with write_shard(store, number, clock=time.perf_counter) as writer:
                    while writer.n_done < writer.shape[0]:
                        positions, found = next(stream)
                        writer.add(found.tokens, found.norms)
                        meter.advance(len(positions))
                        if check is not None:
                            check()
    source = store.source
    n_tokens = n_todo * source.n_tokens
    return ExtractionReport(
        folder=store.path,
        n_images=n_todo,
        n_before=n_share - n_todo,
        n_tokens=n_tokens,
        n_bytes=n_tokens * source.width * np.dtype(source.dtype).itemsize,
        seconds=time.perf_counter() - start_s,
        left_elsewhere=tuple(store.unfinished()),
    )


def read_share(text: str) -> tuple[int, int]:
    """Return the share that a command line names: `i/n`, counted from 0.

    Raises
    ------
    ConfigError
        If it names none.

    Examples
    --------
    >>> read_share("3/8")
    (3, 8)
    """
    first, _, second = text.partition("/")
    if first.isdecimal() and second.isdecimal() and int(first) < int(second):
        return int(first), int(second)
    raise ConfigError(
        "this names no share of an extraction",
        seen=text,
        allowed="i/n with i from 0 to n - 1",
        remedy="write 0/1 for everything",
    )


class ComputedTokens(NamedTuple):
    """Tokens of some images, in the type in which they are kept."""

    tokens: Float[np.ndarray, "image token width"]
    """Class token first if it is kept, then patches row by row."""
    norms: Float32[np.ndarray, "image token"]
    """Norm of each."""


class LiveTokens:
    """Tokens of images made when they are asked for, without a disk; a `TokenReader`.

    They are those of an extraction (to rounding, as batches may differ), in the same order and type.

    Parameters
    ----------
    encoder
        Whose tokens; moved to `device`.
    table
        The images.
    workers
        Threads that decode and, on a CPU, compute; 0: one per core.
    device
        Where the backbone computes.
    """

    def __init__(
        self,
        encoder: TokenEncoder,
        table: ImageTable,
        *,
        workers: int = 0,
        device: torch.device | str = "cpu",
    ):
        self.encoder, self.table = encoder, table
        self.workers, self.device = workers, device
        self.source: TokenSource = token_source(encoder, table)

    def __len__(self) -> int:
        return len(self.table)

    def read(self, positions: Int[np.ndarray, " image"]) -> Float[np.ndarray, "image token width"]:
        """Return the tokens of images in the order of `positions`.

        Raises
        ------
        DataError
            If a token is not finite, or too large for the type; image and token are named.
        ImageError
            If an image can no longer be read.
        """
        source = self.source
        tokens = np.empty((len(positions), source.n_tokens, source.width), np.dtype(source.dtype))
        step = images_per_batch(self.encoder.image_size, self.device)
        batches = (positions[places] for places in in_batches(0, len(positions), step))
        done = 0
        for chosen, found in computed_tokens(self.encoder, self.table, batches, self.workers, self.device):
            tokens[done : done + len(chosen)] = found.tokens
            done += len(chosen)
        return tokens


def token_source(encoder: TokenEncoder, table: ImageTable) -> TokenSource:
    """Return what the tokens of a table of images are of."""
    settings = table.settings
    if settings.shape != encoder.image_size:
        raise ConfigError(
            f"{encoder.spec.name} was built for another image size",
            seen=settings.shape,
            allowed=encoder.image_size,
            remedy="open the images at this size, or build the encoder for theirs",
        )
    stain: str = settings.stain
    if stain != "none" and settings.stain_reference is not None:
        stain += f" of {sha256_file(settings.stain_reference)}"
    return encoder.source(table.fingerprint, reading=f"fit {settings.fit}, stain {stain}")


def computed_tokens(
    encoder: TokenEncoder,
    table: ImageTable,
    batches: Iterable[Int[np.ndarray, " image"]],
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Generator[tuple[Int[np.ndarray, " image"], ComputedTokens], None, None]:
    """Give positions and tokens of batches of images, in their order; every token is checked.

    Raises
    ------
    DataError
        If a token is not finite, or too large for the type; image and token are named.
    """
    encoder.to(device)
    images = ImageBatches(table, workers=1)
    compute = _Compute(encoder)

    def load(positions: Int[np.ndarray, " image"]) -> Tensor:
        return images.take(positions).pixels

    for positions, found in stream_batches(compute, load, iter(batches), workers=workers, device=device):
        if not np.isfinite(found.norms).all():
            _refuse(encoder, table, positions, found)
        yield positions, found


class _Compute:
    """From pixels to tokens in the type in which they are kept, and their norms; called from several threads."""

    def __init__(self, encoder: TokenEncoder):
        self.encoder, self.type = encoder, _TYPES[encoder.dtype]

    def __call__(self, pixels: Tensor) -> ComputedTokens:
        with torch.inference_mode():
            tokens = self.encoder.tokens(pixels).to(self.type)
            norms = torch.linalg.vector_norm(tokens, dim=-1, dtype=torch.float32)
            return ComputedTokens(tokens.cpu().numpy(), norms.cpu().numpy())


def _refuse(
    encoder: TokenEncoder, table: ImageTable, positions: Int[np.ndarray, " image"], found: ComputedTokens
) -> None:
    """Raise for the first token that is not finite."""
    place, token = (int(axis[0]) for axis in np.nonzero(~np.isfinite(found.norms)))
    values = found.tokens[place, token].astype(np.float32)
    worst = float(values[np.argmax(~np.isfinite(values))])
    number = int(positions[place])
    is_overflow = encoder.dtype == "float16" and not np.isnan(values).any()
    raise DataError(
        f"a token of {table.names[number]} is {'too large for float16' if is_overflow else 'not finite'}",
        seen=f"{worst} in {_token_name(encoder, token)} of the image at position {number}",
        allowed="numbers up to 65,504" if is_overflow else "finite numbers",
        remedy="set encoder.dtype=float32" if is_overflow else "leave out that image, or mend the weights",
    )


def _token_name(encoder: TokenEncoder, token: int) -> str:
    if token < encoder.n_prefix:
        return "the class token"
    row, column = divmod(token - encoder.n_prefix, encoder.grid[1])
    return f"token {token} (patch in row {row}, column {column})"


def _open_folder(encoder: TokenEncoder, table: ImageTable, path: Path, images_per_shard: int) -> TokenFolder:
    """Return the folder of an extraction, made or gone on with."""
    if len(table) == 0 or images_per_shard < 1:
        raise ConfigError(
            "there is nothing to extract",
            seen=f"{len(table)} images, {images_per_shard} to a shard",
            allowed="1 and more",
        )
    asked = TokenFolder(path, token_source(encoder, table), len(table), images_per_shard)
    if not (path / ABOUT_NAME).is_file():
        asked.write()
    found = TokenFolder.read(path)
    require_source(found.source, asked.source, where=str(path))
    if found.images_per_shard != images_per_shard:
        raise ConfigError(
            f"the shards of {path} have another size",
            seen=f"{images_per_shard} images",
            allowed=f"{found.images_per_shard}",
            remedy="give every process the same number, or choose another folder",
        )
    return found


def _share(folder: TokenFolder, shard: tuple[int, int]) -> list[int]:
    number, n_shares = shard
    if not 0 <= number < n_shares:
        raise ConfigError(
            "there is no such share of an extraction",
            seen=f"{number}/{n_shares}",
            allowed="i/n with i from 0 to n - 1",
        )
    return list(range(number, folder.n_shards, n_shares))


def _batches(
    encoder: TokenEncoder, folder: TokenFolder, numbers: Iterable[int], device: torch.device | str
) -> Iterator[Int[np.ndarray, " image"]]:
    """Give the batches of several shards one after the other, so that no worker waits at the end of one."""
    step = images_per_batch(encoder.image_size, device)
    for number in numbers:
        images = folder.images_of(number)
        yield from in_batches(images.start, images.stop, step)


@contextlib.contextmanager
def _kept(folder: TokenFolder, numbers: list[int]) -> Iterator[None]:
    """Say on a failure of the disk what is finished and stays."""
    try:
        yield
    except StorageError as error:
        left = [number for number in numbers if folder.mark(number) is None]
        error.add_note(
            f"{folder.n_shards - len(folder.unfinished())} of {folder.n_shards} shards are finished and stay in "
            f"{folder.path}; {len(left)} of this share are left."
        )
        raise
