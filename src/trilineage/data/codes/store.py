"""Codes of many images on disk: parts that appear whole or not at all, so that encoding goes on where it stopped."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from trilineage.core.errors import AlteredFileError, ArtifactError, DataError, NewerVersionError
from trilineage.core.files import sha256_bytes, write_atomically
from trilineage.data.codes.image_codes import ImageCodes

_VERSION = 1
_HEADER = "codes.json"
_IMAGES_PER_PART, _PAIRS_PER_PART = 1024, 2_000_000
"""A part is written when it holds so many images, or pairs (48 MB)."""


@dataclass(frozen=True)
class CodeSource:
    """Everything that decides the codes of some images."""

    dictionary_key: str
    """SHA-256 of what the autoencoder encodes with (`models.sae.encode_images.dictionary_key`)."""
    encoder_key: str
    """Backbone, weights, block and kept tokens (`TokenSource.encoder_key`)."""
    images: str
    """Fingerprint of the images and of how they come to their size."""
    tau: float
    """What an activation must exceed to be counted."""
    n_latents: int
    """Latents there are."""
    n_patches: int
    """Patches per image."""
    has_cls: bool
    """Whether the CLS token was kept."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON takes them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the source that `to_dict` wrote.

        Raises
        ------
        ArtifactError
            If a field is absent.
        """
        names = [field.name for field in fields(cls)]
        absent = [name for name in names if name not in values]
        if absent:
            raise ArtifactError(
                "this does not say what codes are of", seen=f"no {', '.join(absent)}", remedy="encode again"
            )
        return cls(**{name: values[name] for name in names})


class CodeStore:
    """Codes of images in the order of their positions, in a folder.

    A part counts once its marker, which holds its digest, is there; what a killed process left of another is written
    again. Parts are read one at a time.

    Parameters
    ----------
    folder
        Where the parts are.
    source
        What the codes are of; None: as the folder says.

    Raises
    ------
    ArtifactError
        If the folder holds other codes, or none and no source is given.
    """

    def __init__(self, folder: Path | str, source: CodeSource | None = None):
        self.folder = Path(folder)
        found = _read_header(self.folder / _HEADER)
        if found is not None and source is not None:
            _require_same(found, source, self.folder)
        self.source = self._created(source) if found is None else found
        self._markers = list(self._finished())

    def __len__(self) -> int:
        """Return the number of images whose codes are there: where encoding goes on (`first`)."""
        return sum(marker["n_images"] for marker in self._markers)

    @property
    def n_parts(self) -> int:
        """Number of finished parts."""
        return len(self._markers)

    def extend(self, batches: Iterable[ImageCodes]) -> None:
        """Write the codes of further images as they come, a part when there is enough for one.

        Raises
        ------
        DataError
            If positions do not ascend, or the codes are of other latents, patches or tau.
        StorageError
            If the disk is full; the parts before are kept.
        """
        waiting: list[ImageCodes] = []
        for batch in batches:
            waiting.append(batch)
            is_full = sum(map(len, waiting)) >= _IMAGES_PER_PART
            if is_full or sum(part.n_pairs for part in waiting) >= _PAIRS_PER_PART:
                self.append(ImageCodes.concatenate(waiting))
                waiting = []
        if waiting:
            self.append(ImageCodes.concatenate(waiting))

    def append(self, codes: ImageCodes) -> None:
        """Write the codes of further images as one part; raises as `extend`."""
        self._require_fitting(codes)
        buffer = io.BytesIO()
        np.savez(buffer, **codes.to_arrays())  # type: ignore[arg-type]
        data = buffer.getvalue()
        marker = {"sha256": sha256_bytes(data), "n_images": len(codes), "last": int(codes.positions[-1])}
        path = self._path(self.n_parts)
        write_atomically(path, data)
        write_atomically(path.with_suffix(".json"), _to_json(marker))
        self._markers.append(marker)

    def iterate(self) -> Iterator[ImageCodes]:
        """Give the codes part by part.

        Raises
        ------
        AlteredFileError
            If a part is not what was written.
        """
        for number, marker in enumerate(self._markers):
            path = self._path(number)
            data = path.read_bytes() if path.exists() else b""
            if sha256_bytes(data) != marker["sha256"]:
                raise AlteredFileError(
                    f"{path.name} is not what was written",
                    seen=f"{len(data):,} bytes with another digest",
                    remedy=f"delete {path.with_suffix('.json').name} and the parts after it, and encode again",
                )
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                yield ImageCodes.from_arrays(dict(arrays))

    def _created(self, source: CodeSource | None) -> CodeSource:
        if source is None:
            raise ArtifactError(
                f"{self.folder} holds no codes", remedy="encode the images first, or name another folder"
            )
        header = {"kind": "codes", "version": _VERSION} | source.to_dict()
        write_atomically(self.folder / _HEADER, _to_json(header))
        return source

    def _finished(self) -> Iterator[dict[str, Any]]:
        """Give the markers of the parts without a gap from the first."""
        number = 0
        while (path := self._path(number).with_suffix(".json")).exists():
            yield _parsed(path)
            number += 1

    def _path(self, number: int) -> Path:
        return self.folder / f"codes_{number:05d}.npz"

    def _require_fitting(self, codes: ImageCodes) -> None:
        names = ("tau", "n_latents", "n_patches", "has_cls")
        own, its = ([getattr(of, name) for name in names] for of in (self.source, codes))
        if own != its:
            raise DataError(
                "codes that do not belong to this folder",
                seen=dict(zip(names, its, strict=True)),
                allowed=dict(zip(names, own, strict=True)),
            )
        before = self._markers[-1]["last"] if self._markers else -1
        steps = np.diff(codes.positions, prepend=before)
        if not len(codes) or (steps <= 0).any():
            raise DataError(
                "the positions of images do not ascend",
                seen=f"{codes.positions[:3]} after {before}",
                allowed="each image once, in the order of the table",
                remedy=f"go on with the image after position {before}",
            )


def _read_header(path: Path) -> CodeSource | None:
    if not path.exists():
        return None
    values = _parsed(path)
    if values.get("version", 0) > _VERSION:
        raise NewerVersionError(
            f"{path} was written by a newer trilineage",
            seen=f"version {values['version']}",
            allowed=f"up to {_VERSION}",
            remedy="update trilineage",
        )
    return CodeSource.from_dict(values)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ArtifactError(f"{path} cannot be read", remedy="delete it and encode again")
    return values


def _require_same(found: CodeSource, asked: CodeSource, folder: Path) -> None:
    own, other = found.to_dict(), asked.to_dict()
    differing = [name for name in own if own[name] != other[name]]
    if differing:
        raise ArtifactError(
            f"{folder} holds other codes than those asked for",
            seen="; ".join(f"{name} {str(own[name])[:12]}" for name in differing),
            allowed="; ".join(f"{name} {str(other[name])[:12]}" for name in differing),
            remedy="encode into another folder, or name the folder that holds them",
        )


def _to_json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=1) + "\n").encode()
