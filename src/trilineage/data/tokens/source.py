"""What tokens are of: backbone, weights, block, images; two digests tell whether others may stand beside them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from trilineage.core.errors import ArtifactError

Keep = Literal["both", "cls", "patches"]
TokenType = Literal["float16", "float32"]

_ENCODER_FIELDS = ("backbone", "weights", "block", "image_size", "keep")


@dataclass(frozen=True)
class TokenSource:
    """Everything that decides the tokens of some images."""

    backbone: str
    """Name of the backbone."""
    weights: str
    """SHA-256 of the names and bytes of its tensors."""
    block: int
    """Block whose output the tokens are, from 0."""
    image_size: tuple[int, int]
    """Height and width of the images in pixels."""
    grid: tuple[int, int]
    """Rows and columns of patches at that block."""
    n_prefix: int
    """Tokens of an image that come before its patches: 1 if the class token is kept, else 0."""
    keep: Keep
    """Which tokens are kept: the class token, the patches, or both (registers never are)."""
    width: int
    """Length of a token."""
    dtype: TokenType
    """Type in which they are kept."""
    images: str
    """Fingerprint of the table of images (`ImageTable.fingerprint`)."""
    reading: str = ""
    """How images come to their size: fit and stain normalisation."""

    @property
    def n_patches(self) -> int:
        """Patch tokens of an image that are kept."""
        return 0 if self.keep == "cls" else self.grid[0] * self.grid[1]

    @property
    def n_tokens(self) -> int:
        """Tokens of an image: class token if kept, then patches row by row if kept."""
        return self.n_prefix + self.n_patches

    @property
    def encoder_key(self) -> str:
        """SHA-256 of backbone, weights, block, image size and kept tokens: cohorts with one can be compared."""
        return _digest({name: getattr(self, name) for name in _ENCODER_FIELDS})

    @property
    def key(self) -> str:
        """SHA-256 of everything: stores with one hold the same numbers."""
        return _digest(asdict(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON takes them."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the source that `to_dict` wrote.

        Raises
        ------
        ArtifactError
            If fields are absent, unknown or of another kind.
        """
        try:
            found = cls(
                **{**values, "image_size": tuple(values["image_size"]), "grid": tuple(values["grid"])}
            )
            kinds = {field.name: type(getattr(found, field.name)) for field in fields(cls)}
            is_sound = all(kinds[field.name] is _KINDS[field.name] for field in fields(cls))
            is_sound &= [len(found.image_size), len(found.grid)] == [2, 2]
        except (KeyError, TypeError):
            is_sound = False
        if not is_sound:
            raise ArtifactError(
                "this does not say what tokens are of",
                seen=", ".join(map(str, values))[:200],
                allowed=", ".join(_KINDS),
                remedy="extract the tokens again",
            )
        return found


_KINDS: dict[str, type] = {
    **dict.fromkeys(("backbone", "weights", "keep", "dtype", "images", "reading"), str),
    **dict.fromkeys(("block", "n_prefix", "width"), int),
    **dict.fromkeys(("image_size", "grid"), tuple),
}


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
