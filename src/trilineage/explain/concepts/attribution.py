"""Where concepts are in an image: raw maps of latents on the patches, the top latents of an image or a patch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from trilineage.core.errors import ConfigError
from trilineage.explain.saliency.maps import enlarged
from trilineage.models.sae.codes import SparseCodes
from trilineage.models.sae.model import SparseAutoencoder

CLS = -1
"""Stands for the class token where a patch is asked for."""


@runtime_checkable
class TokenMaker(Protocol):
    """What is asked of an encoder here (`models.encoder.TokenEncoder`)."""

    n_prefix: int
    """Tokens before the patches that are kept: 1 for the class token, or 0."""
    grid: tuple[int, int]
    """Rows and columns of patches."""

    @property
    def n_tokens(self) -> int:
        """Tokens of an image that are kept."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        ...

    def tokens(self, pixels: Any) -> Any:
        """Return the kept tokens (image token width) of pixels in [0, 1], the class token first."""
        ...


class ActiveLatent(NamedTuple):
    """A latent that is active in an image or a patch."""

    latent: int
    """Its number."""
    activation: float
    """Activation in the patch, or mean activation over the patches of the image; above 0."""
    patch: int
    """Patch with the largest activation in reading order; -1 where only the class token activates it."""


@dataclass(frozen=True)
class TokenCodes:
    """The sparse codes of every kept token of some images, and how these tokens lie on the images.

    Patch p of a grid with w columns is in row p // w and column p % w; the class token is no patch.
    """

    codes: SparseCodes
    """Codes of the tokens, image by image: the class token if it was kept, then the patches row by row."""
    n_images: int
    """Images."""
    n_prefix: int
    """Tokens of an image before its patches."""
    grid: tuple[int, int]
    """Rows and columns of patches; (0, 0) where only the class token was kept."""

    @property
    def n_patches(self) -> int:
        """Patches of an image."""
        return self.grid[0] * self.grid[1]

    @property
    def n_tokens(self) -> int:
        """Tokens of an image."""
        return self.n_prefix + self.n_patches

    def of_latents(self, latents: Sequence[int]) -> Float[Tensor, "image latent token"]:
        """Return the activations of some latents in every token; no other latent is made dense.

        Raises
        ------
        ConfigError
            If a latent does not exist.
        """
        place = self._places(latents)[self.codes.latents.long()]
        is_wanted = place >= 0
        found = self.codes.values.new_zeros(len(latents), self.n_images * self.n_tokens)
        found[place[is_wanted], self.codes.tokens[is_wanted]] = self.codes.values[is_wanted]
        return found.view(len(latents), self.n_images, self.n_tokens).transpose(0, 1)

    def maps(self, latents: Sequence[int]) -> Float[Tensor, "image latent gh gw"]:
        """Return the activations of some latents on the grid of patches, as they are.

        Raises
        ------
        ConfigError
            If a latent does not exist, or the tokens hold no patches.
        """
        if not self.n_patches:
            raise ConfigError(
                "a concept has no place in an image of which only the class token is kept",
                seen="no patches",
                allowed="an encoder with keep=both or keep=patches",
                remedy="extract and train on patches",
            )
        return self.of_latents(latents)[:, :, self.n_prefix :].unflatten(2, self.grid)

    def of_image(self, image: int) -> "TokenCodes":
        """Return the codes of one image."""
        starts = self.codes.indptr[image * self.n_tokens : (image + 1) * self.n_tokens + 1]
        pairs = slice(int(starts[0]), int(starts[-1]))
        latents, values = self.codes.latents[pairs], self.codes.values[pairs]
        codes = SparseCodes(starts - starts[0], latents, values, self.codes.n_latents)
        return TokenCodes(codes, 1, self.n_prefix, self.grid)

    def top_of_image(
        self, image: int, n: int = 10, *, by: Literal["mean", "peak"] = "mean"
    ) -> list[ActiveLatent]:
        """Return the latents that an image activates most, strongest first; equal ones in the order of their numbers.

        Parameters
        ----------
        image
            Place of the image.
        n
            At most so many.
        by
            Mean over the patches, in which what fills the cell wins, or largest patch, in which a speck does. Latents
            of the class token alone come last, with their activation there over the number of tokens.
        """
        rows = slice(image * self.n_tokens, (image + 1) * self.n_tokens)
        tokens, latents, values = self._pairs(rows)
        is_patch = tokens >= self.n_prefix
        score = values.new_zeros(self.codes.n_latents)
        if by == "peak":
            score.scatter_reduce_(0, latents[is_patch], values[is_patch], "amax")
        else:
            score.index_add_(0, latents[is_patch], values[is_patch] / max(self.n_patches, 1))
        alone = torch.zeros_like(score).index_add_(0, latents[~is_patch], values[~is_patch] / self.n_tokens)
        alone[score > 0] = 0
        found = [(latent, score) for latent in _strongest(score, n)]
        found += [(latent, alone) for latent in _strongest(alone, n - len(found))]
        return [
            ActiveLatent(latent, float(scores[latent]), self._peak_patch(tokens, latents, values, latent))
            for latent, scores in found
        ]

    def top_of_patch(self, image: int, patch: int, n: int = 10) -> list[ActiveLatent]:
        """Return the latents that are most active in a patch (`CLS`: in the class token), strongest first.

        Raises
        ------
        ConfigError
            If there is no such patch, or no class token.
        """
        allowed = range(-1 if self.n_prefix else 0, self.n_patches)
        if patch not in allowed:
            raise ConfigError(
                "there is no such patch",
                seen=patch,
                allowed=f"{allowed.start} to {allowed.stop - 1}, -1 being the class token where it is kept",
            )
        token = 0 if patch == CLS else self.n_prefix + patch
        row = image * self.n_tokens + token
        _, latents, values = self._pairs(slice(row, row + 1))
        order = torch.argsort(values, descending=True, stable=True)[:n].tolist()
        return [ActiveLatent(int(latents[place]), float(values[place]), patch) for place in order]

    def _places(self, latents: Sequence[int]) -> Int64[Tensor, " all_latents"]:
        """Return for every latent its place among those asked for, -1 for the others."""
        n_latents = self.codes.n_latents
        if len(latents) and not (min(latents) >= 0 and max(latents) < n_latents):
            raise ConfigError(
                "there is no such latent",
                seen=next(latent for latent in latents if not 0 <= latent < n_latents),
                allowed=f"0 to {n_latents - 1}",
                remedy="take numbers from the cards of this autoencoder",
            )
        if len(set(latents)) != len(latents):
            raise ConfigError("a latent is asked for twice", seen=list(latents), allowed="different latents")
        places = self.codes.indptr.new_full((n_latents,), -1)
        chosen = torch.as_tensor(list(latents), dtype=torch.int64, device=places.device)
        places[chosen] = torch.arange(len(latents), device=places.device)
        return places

    def _pairs(self, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Return the token (from 0 at the first row), latent and value of each active pair of some rows."""
        starts = self.codes.indptr[rows.start : rows.stop + 1]
        pairs = slice(int(starts[0]), int(starts[-1]))
        tokens = torch.repeat_interleave(torch.arange(len(starts) - 1, device=starts.device), starts.diff())
        return tokens, self.codes.latents[pairs].long(), self.codes.values[pairs]

    def _peak_patch(self, tokens: Tensor, latents: Tensor, values: Tensor, latent: int) -> int:
        """Return the patch in which a latent is most active, the first of several; -1 if it is in none."""
        is_its = (latents == latent) & (tokens >= self.n_prefix)
        if not is_its.any():
            return CLS
        return int(tokens[is_its][values[is_its].argmax()]) - self.n_prefix


@torch.no_grad()
def encode_tokens(
    encoder: TokenMaker, sae: SparseAutoencoder, pixels: Float[Tensor, "b 3 h w"]
) -> TokenCodes:
    """Encode images to the sparse codes of their tokens.

    Raises
    ------
    DataError
        If the autoencoder is of tokens of another width, or a token is not finite.
    ConfigError
        If the images have another size than the encoder takes.
    """
    tokens = encoder.tokens(pixels)
    codes = sae.encode(tokens.flatten(0, 1))
    has_patches = encoder.n_tokens > encoder.n_prefix
    return TokenCodes(codes, len(pixels), encoder.n_prefix, encoder.grid if has_patches else (0, 0))


def concept_maps(
    encoder: TokenMaker, sae: SparseAutoencoder, pixels: Float[Tensor, "b 3 h w"], latents: Sequence[int]
) -> Float[Tensor, "b latent gh gw"]:
    """Return the raw activations of latents on the patches of images; raises as `TokenCodes.maps`."""
    return encode_tokens(encoder, sae, pixels).maps(latents)


def concept_map(
    encoder: TokenMaker, sae: SparseAutoencoder, pixels: Float[Tensor, "3 h w"], latents: Sequence[int]
) -> Float[Tensor, "latent gh gw"]:
    """Return the raw activations of latents on the patches of an image.

    Values of one latent can be compared between patches and between images: nothing is rescaled. (PatchSAE and CytoSAE
    divide each map by its own maximum, which makes a trace look like a field of it.)

    Parameters
    ----------
    encoder
        Whose tokens the autoencoder was trained on.
    sae
        The autoencoder.
    pixels
        RGB in [0, 1].
    latents
        Which ones.
    """
    return concept_maps(encoder, sae, pixels[None], latents)[0]


def soft_map(
    maps: Float[Tensor, "latent gh gw"], image_size: tuple[int, int]
) -> Float[Tensor, "latent height width"]:
    """Return maps on the pixels, bilinear between the centres of the patches; no value is rescaled."""
    return enlarged(maps[None], image_size)[0]


def top_latents_of_image(
    encoder: TokenMaker, sae: SparseAutoencoder, pixels: Float[Tensor, "3 h w"], n: int = 10
) -> list[ActiveLatent]:
    """Return the latents with the largest mean activation over the patches of an image, strongest first."""
    return encode_tokens(encoder, sae, pixels[None]).top_of_image(0, n)


def top_latents_of_patch(
    encoder: TokenMaker, sae: SparseAutoencoder, pixels: Float[Tensor, "3 h w"], patch: int, n: int = 10
) -> list[ActiveLatent]:
    """Return the latents that are most active in a patch of an image (-1: in the class token), strongest first."""
    return encode_tokens(encoder, sae, pixels[None]).top_of_patch(0, patch, n)


def _strongest(score: Float[Tensor, " latent"], n: int) -> list[int]:
    """Return the latents above 0 with the largest scores, the lower number first among equals."""
    active = torch.nonzero(score)[:, 0]
    order = torch.argsort(score[active], descending=True, stable=True)[:n]
    return [int(latent) for latent in active[order]]
