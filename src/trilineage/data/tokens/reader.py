"""What the tokens of images are read from, on disk or made on the fly, and the checks where tokens meet."""

from dataclasses import asdict
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int

from trilineage.core.errors import ArtifactError
from trilineage.data.tokens.source import TokenSource

_REMEDY = "extract the tokens again with the backbone, weights and block that are asked for"


@runtime_checkable
class TokenReader(Protocol):
    """Tokens of the images of a table, by position."""

    source: TokenSource

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def read(self, positions: Int[np.ndarray, " image"]) -> Float[np.ndarray, "image token width"]:
        """Return the tokens of images: class token first if it is kept, then patches row by row."""
        ...


@runtime_checkable
class TokenNorms(Protocol):
    """Tokens whose norms are known beforehand."""

    def norms(self) -> Float32[np.ndarray, "image token"]:
        """Return the norm of every token."""
        ...


def require_same_encoder(
    first_key: str, second_key: str, *, first: str = "the first cohort", second: str = "the second cohort"
) -> None:
    """Refuse to put things made with different encoders beside each other.

    Parameters
    ----------
    first_key, second_key
        `TokenSource.encoder_key` of each.
    first, second
        How messages call them.

    Raises
    ------
    ArtifactError
        If backbone, weights, block, image size or kept tokens differ.
    """
    if first_key != second_key:
        raise ArtifactError(
            f"{first} and {second} were made with different encoders",
            seen=f"{first_key[:12] or 'none'} and {second_key[:12] or 'none'}",
            allowed="the same backbone, weights, block, image size and kept tokens",
            remedy="make both with one encoder",
        )


def require_source(found: TokenSource, asked: TokenSource, *, where: str) -> None:
    """Refuse tokens that are not those asked for, naming what differs.

    Raises
    ------
    ArtifactError
        If a field differs.
    """
    own, other = asdict(found), asdict(asked)
    differing = [name for name in own if own[name] != other[name]]
    if differing:
        raise ArtifactError(
            f"{where} holds other tokens than those asked for",
            seen="; ".join(f"{name} {_short(own[name])}" for name in differing),
            allowed="; ".join(f"{name} {_short(other[name])}" for name in differing),
            remedy=f"{_REMEDY}, in another folder, or name the folder that holds them",
        )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 64 else text[:12]  # a digest
