"""Checkpoints that survive a kill at any moment: safetensors written whole or not at all, named by step and digest."""

import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trilineage.core.errors import ArtifactError, NewerVersionError
from trilineage.core.files import atomic_path, is_temporary, sha256_bytes
from trilineage.core.weights import decode_metadata, decode_weights

FORMAT_VERSION = 1
_KIND = "trilineage.checkpoint"
_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
}
_DTYPES |= {"int8": "I8", "uint8": "U8", "bool": "BOOL"}
_ALIGNMENT = 8

logger = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """Everything a training needs to go on as if it had never stopped."""

    step: int
    """Updates done."""
    tensors: dict[str, np.ndarray]
    """Weights, best weights, moments of the optimiser."""
    state: dict[str, Any]
    """Counters, history and identity, as JSON."""


class CheckpointStore:
    """The checkpoints of one training in a folder.

    A file is written under a temporary name, flushed to the disk and renamed, and its final name carries the SHA-256
    of its bytes: what a kill, a full disk or a bad disk leaves behind is recognised and never loaded.

    Parameters
    ----------
    folder
        Made when the first checkpoint is written; trainings of different names may share it.
    name
        Name of the training; letters, digits, `.`, `_` and `-` are kept.
    keep
        Newest files that are kept.
    """

    def __init__(self, folder: Path, name: str, *, keep: int = 2):
        self.folder, self.keep = Path(folder), keep
        self.name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        self._pattern = re.compile(re.escape(self.name) + r"\.(\d{10})\.([0-9a-f]{64})\.safetensors")

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, then remove all but the newest `keep`; of one step only the last written stays.

        Raises
        ------
        StorageError
            If the disk is full, read-only or gone; older checkpoints are intact.
        """
        pieces = _encode(checkpoint)
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
        path = self.folder / f"{self.name}.{checkpoint.step:010d}.{digest.hexdigest()}.safetensors"
        with atomic_path(path) as temporary, open(temporary, "xb") as stream:
            for piece in pieces:
                stream.write(piece)
        self._remove_old(path)
        return path

    def newest(self) -> bytes | None:
        """Return the bytes of the newest checkpoint that is whole, or None; damaged and temporary files are removed."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if is_temporary(path.name) and path.name.startswith(f".{self.name}."):
                    path.unlink(missing_ok=True)
        for path in self._paths():
            data = path.read_bytes()
            if sha256_bytes(data) == self._parts(path)[1]:
                return data
            logger.warning("checkpoint %s is damaged: removed, the one before it is tried", path.name)
            path.unlink(missing_ok=True)
        return None

    def clear(self) -> None:
        """Remove every checkpoint of this training."""
        for path in self._paths():
            path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        """List the checkpoints, newest first."""
        if not self.folder.is_dir():
            return []
        found = [path for path in self.folder.iterdir() if self._pattern.fullmatch(path.name)]
        return sorted(found, key=lambda path: (self._parts(path)[0], path.stat().st_mtime_ns), reverse=True)

    def _parts(self, path: Path) -> tuple[int, str]:
        """Return step and digest as the name says them."""
        match = self._pattern.fullmatch(path.name)
        assert match is not None
        return int(match[1]), match[2]

    def _remove_old(self, newest: Path) -> None:
        step = self._parts(newest)[0]
        older = [path for path in self._paths() if path != newest]
        same_step = [path for path in older if self._parts(path)[0] == step]
        others = [path for path in older if path not in same_step]
        for path in same_step + others[self.keep - 1 :]:
            path.unlink(missing_ok=True)


def decode_checkpoint(data: bytes) -> Checkpoint:
    """Return the checkpoint in bytes that `CheckpointStore.newest` gave.

    Raises
    ------
    NewerVersionError
        If a newer version of this package wrote it.
    ArtifactError
        If it is something else.
    """
    metadata = decode_metadata(data, name="checkpoint")
    if metadata.get("kind") != _KIND:
        raise ArtifactError("this is no checkpoint", seen=metadata.get("kind"), allowed=_KIND)
    version = int(metadata["format_version"])
    if version > FORMAT_VERSION:
        raise NewerVersionError(
            "the checkpoint was written by a newer version of trilineage",
            seen=f"format {version}",
            allowed=f"format {FORMAT_VERSION} or older",
            remedy="update trilineage, or remove the checkpoints to begin again",
        )
    state = json.loads(metadata["state"])
    return Checkpoint(int(metadata["step"]), decode_weights(data, name="checkpoint"), state)


def _encode(checkpoint: Checkpoint) -> list[Any]:
    """Return the pieces of a safetensors file; the tensors are not copied, which matters at a gigabyte."""
    metadata = {"kind": _KIND, "format_version": str(FORMAT_VERSION), "step": str(checkpoint.step)}
    header: dict[str, Any] = {"__metadata__": {**metadata, "state": json.dumps(checkpoint.state)}}
    pieces: list[Any] = []
    offset = 0
    by_width = sorted(checkpoint.tensors, key=lambda name: (-checkpoint.tensors[name].itemsize, name))
    for name in by_width:
        array = checkpoint.tensors[name]
        end = offset + array.nbytes
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        pieces.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return [len(text).to_bytes(_ALIGNMENT, "little"), text, *pieces]
