"""Saliency maps with what they explain: brought to the size of the image, scaled, saved and read again."""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from trilineage.core.errors import ArtifactError, NewerVersionError
from trilineage.core.files import write_atomically
from trilineage.explain.saliency.targets import Targets

KIND = "saliency maps"
VERSION = 1


@dataclass(frozen=True)
class SaliencyMaps:
    """The maps of some images."""

    values: Float[np.ndarray, "image target row column"]
    """Evidence on the grid of the method; NaN where an image has no such target or nothing speaks for it."""
    targets: Targets
    """What each map explains."""
    images: tuple[str, ...]
    """Name of each image."""
    method: str
    """How the maps were made."""
    image_size: tuple[int, int]
    """Height and width of the pixels the classifier saw, which the grid divides."""

    def at_image_size(self, image: int) -> Float[np.ndarray, "target height width"]:
        """Return the maps of one image on the pixels the classifier saw, bilinear."""
        return enlarged(torch.as_tensor(self.values[image : image + 1]), self.image_size)[0].numpy()

    def to_bytes(self) -> bytes:
        """Return the maps as an npz file: `values`, `nodes`, `against`, and the rest as JSON in `about`."""
        about = {
            "kind": KIND,
            "version": VERSION,
            "method": self.method,
            "image_size": list(self.image_size),
            "images": list(self.images),
            "names": list(self.targets.names),
        }
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            allow_pickle=False,
            values=self.values,
            nodes=self.targets.nodes,
            against=self.targets.against,
            about=np.array(json.dumps(about)),
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ArtifactError
            If it is damaged or something else.
        NewerVersionError
            If a newer trilineage wrote it.
        """
        arrays, about = _read(data)
        try:
            targets = Targets(arrays["nodes"], arrays["against"], tuple(about["names"]))
            height, width = about["image_size"]
            return cls(arrays["values"], targets, tuple(about["images"]), about["method"], (height, width))
        except (KeyError, TypeError, ValueError) as error:
            raise _not_maps(error) from None

    def save(self, path: Path | str) -> None:
        """Write the maps as an npz file."""
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file that `save` wrote; raises as `from_bytes`, and ArtifactError if there is none."""
        try:
            return cls.from_bytes(Path(path).read_bytes())
        except OSError as error:
            raise _not_maps(f"{path}: {error.strerror}") from None


def enlarged(
    maps: Float[Tensor, "image target row column"], image_size: tuple[int, int]
) -> Float[Tensor, "image target height width"]:
    """Bring maps from their grid to the pixels, bilinear between the centres of the cells."""
    return F.interpolate(maps, size=image_size, mode="bilinear", align_corners=False)


def unit_range(maps: Float[Tensor, "*batch height width"]) -> Float[Tensor, "*batch height width"]:
    """Stretch each map to [0, 1], as pictures need it; a constant map becomes 0."""
    low = maps.amin(dim=(-2, -1), keepdim=True)
    span = maps.amax(dim=(-2, -1), keepdim=True) - low
    return (maps - low) / span.clamp_min(torch.finfo(maps.dtype).tiny)


def _read(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of a file of maps and its description."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop("about")))
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise _not_maps(error) from None
    if not isinstance(about, dict) or about.get("kind") != KIND:
        raise _not_maps("another kind of file")
    if not isinstance(about.get("version"), int) or about["version"] > VERSION:
        raise NewerVersionError(
            "the saliency maps were written by a newer trilineage",
            seen=f"version {about.get('version')}",
            allowed=f"up to {VERSION}",
            remedy="update trilineage",
        )
    return arrays, about


def _not_maps(seen: object) -> ArtifactError:
    """Make the error for something that holds no maps."""
    return ArtifactError(
        "these are no saliency maps",
        seen=seen,
        allowed="an npz file written by `SaliencyMaps.save`",
        remedy="make the maps again",
    )
