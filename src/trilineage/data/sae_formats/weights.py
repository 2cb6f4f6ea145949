"""The weights of a sparse autoencoder as plain arrays, whatever package they come from or go to."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float32

from trilineage.core.errors import DataError, FormatError


@dataclass(frozen=True)
class SaeWeights:
    """f = s((x - decoder_bias) encoder' + encoder_bias), x_hat = f decoder + decoder_bias; one row per latent."""

    activation: Literal["relu", "topk", "threshold"]
    """`relu`; `topk`: the k largest, those above 0; `threshold`: what exceeds the threshold of its latent."""
    encoder: Float32[np.ndarray, "latent width"]
    """Encoder weight."""
    encoder_bias: Float32[np.ndarray, " latent"]
    """Encoder bias."""
    decoder: Float32[np.ndarray, "latent width"]
    """Decoder weight."""
    decoder_bias: Float32[np.ndarray, " width"]
    """Decoder bias, subtracted from tokens and added to reconstructions."""
    k: int = 0
    """Active latents per token (`topk`), or on average where that is known; 0: not known."""
    thresholds: Float32[np.ndarray, " latent"] | None = None
    """Thresholds of the latents (`threshold`)."""
    source: str = ""
    """Where they come from, for messages and provenance."""

    @property
    def width(self) -> int:
        """Width of the tokens."""
        return self.decoder.shape[1]

    @property
    def n_latents(self) -> int:
        """Number of latents."""
        return self.decoder.shape[0]

    def checked(self, *, width: int | None = None) -> "SaeWeights":
        """Return these weights if they are sound.

        Parameters
        ----------
        width
            Width that the tokens have; None: any.

        Raises
        ------
        FormatError
            If shapes do not belong together or a number is not finite.
        DataError
            If they are for tokens of another width.
        """
        for name, array in self._arrays().items():
            if not np.isfinite(array.sum(dtype=np.float64)):
                raise FormatError(f"{self.source}: {name} is not finite", remedy="copy the file again")
        if self.activation == "topk" and not 1 <= self.k <= self.n_latents:
            raise FormatError(
                f"{self.source}: k is no number of latents", seen=self.k, allowed=f"1 to {self.n_latents}"
            )
        if width is not None and width != self.width:
            raise DataError(
                f"{self.source} is an autoencoder of other tokens",
                seen=f"width {self.width}",
                allowed=f"width {width}, that of the backbone",
                remedy="choose the backbone and block that it was trained on",
            )
        return self

    def without_input_bias(self) -> "SaeWeights":
        """Return equal weights for an encoder that was made to see tokens without the decoder bias subtracted.

        Its pre-activations are x W' + b = (x - d) W' + (b + W d).
        """
        shift = self.encoder.astype(np.float64) @ self.decoder_bias.astype(np.float64)
        return replace(self, encoder_bias=(self.encoder_bias + shift).astype(np.float32))

    def with_unit_decoder(self) -> "SaeWeights":
        """Return weights whose activations are those of the old ones times the norms of their decoder rows.

        Reconstructions stay as they are.
        """
        norms = np.linalg.norm(self.decoder, axis=1).astype(np.float32)
        norms[norms == 0] = 1.0
        return replace(
            self,
            encoder=self.encoder * norms[:, None],
            encoder_bias=self.encoder_bias * norms,
            decoder=self.decoder / norms[:, None],
            thresholds=None if self.thresholds is None else self.thresholds * norms,
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {
            "encoder": self.encoder,
            "encoder_bias": self.encoder_bias,
            "decoder": self.decoder,
            "decoder_bias": self.decoder_bias,
        }
        return arrays if self.thresholds is None else arrays | {"thresholds": self.thresholds}
