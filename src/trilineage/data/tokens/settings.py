"""Options of tokens: where they lie, how they are mixed for training, and which are left out for their norm."""

from typing import Any

from pydantic import Field

from trilineage.core.config import Settings


class OutlierSettings(Settings):
    """Tokens that a transformer uses as scratch space have norms far above the others; they can be left out."""

    norm_factor: float = Field(default=0.0, ge=0.0)
    """Tokens are left out whose norm exceeds this many times the median (class and patch tokens each by their own);
    0 keeps all. Darcet et al. 2024 (arXiv 2309.16588, section 2) find such outliers at 3 to 10 times the usual norm."""


class TokenSettings(Settings):
    """Where tokens lie and how they are mixed: images come in sequential chunks, tokens from several chunks at once."""

    folder: str = ""
    """Folder of extracted tokens (`trilineage concepts tokens`), which must be those of these images; what is missing
    is extracted to it. Empty: the Run's own folder, until it is finished."""
    live: bool = False
    """Whether tokens are made on the fly in every pass instead, without a disk."""
    images_per_shard: int = Field(default=512, ge=1)
    """Images of a shard: what a kill during extraction loses at most."""
    chunk_images: int = Field(default=64, ge=1)
    """Images that are read together."""
    buffer_images: int = Field(default=1024, ge=1)
    """Images whose tokens are mixed, all held in memory (0.4 MB each with 257 tokens of width 768 in float16)."""
    outliers: OutlierSettings = OutlierSettings()
    """Tokens that are left out of training for their norm, and counted."""

    def shuffling(self) -> dict[str, Any]:
        """Return what `data.tokens.batches.ShuffledTokens` takes besides tokens and images."""
        return {
            "chunk_images": self.chunk_images,
            "buffer_images": self.buffer_images,
            "outliers": self.outliers,
        }
