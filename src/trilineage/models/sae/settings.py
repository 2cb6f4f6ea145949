"""Every option of a sparse autoencoder that its weights or its loss depend on."""

from typing import Literal

from pydantic import Field, model_validator

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError

PUBLISHED_CYTOSAE = {
    "activation": "relu",
    "expansion": 64,
    "sparsity": 8e-5,
    "error": "norm",
    "auxiliary": "ghost",
    "dead_after_steps": 64,
    "encoder_start": "random",
    "bias_start": "geometric_median",
}
"""Options of CytoSAE (Dasdelen et al. 2025, arXiv:2507.12464): `SaeSettings(**PUBLISHED_CYTOSAE)`."""


class SaeSettings(Settings):
    """Which latents are active, what the loss is made of, and where the weights start."""

    activation: Literal["relu", "topk", "batch_topk", "jump_relu"] = "topk"
    """`relu` with an L1 penalty; `topk` (Gao et al. 2024): the k largest of each token; `batch_topk` (Bussmann et al.
    2024): k per token on average, a learned threshold after training; `jump_relu` (Rajamanoharan et al. 2024): a
    learned threshold per latent with a penalty on the number of active latents."""
    expansion: int = Field(default=64, ge=1)
    """Latents per unit of token width."""
    latents: int = Field(default=0, ge=0)
    """Number of latents; 0: `expansion` times the width of the tokens."""
    k: int = Field(default=32, ge=1)
    """Active latents per token (`topk`), or on average (`batch_topk`)."""
    prefixes: tuple[float, ...] = ()
    """Matryoshka (Bussmann et al. 2025): shares of the latents, rising to 1, that must each reconstruct alone; empty:
    only all together."""
    sparsity: float = Field(default=8e-5, ge=0, allow_inf_nan=False)
    """Weight of the L1 norm (`relu`) or of the number (`jump_relu`) of active latents per token in the loss."""
    error: Literal["auto", "norm", "variance", "plain"] = "auto"
    """What the squared error of a token is divided by: `norm`, its norm times its width (the published CytoSAE);
    `variance`, the variance of all tokens; `plain`, its width. `auto`: norm for `relu`, else variance."""
    auxiliary: Literal["none", "auxk", "ghost"] = "auxk"
    """What revives dead latents: `auxk` lets them reconstruct what is left over (Gao et al. 2024); `ghost` gradients
    (Jermyn and Templeton 2024, as in the published CytoSAE)."""
    auxiliary_k: int = Field(default=0, ge=0)
    """Dead latents per token that `auxk` uses; 0: half the token width."""
    auxiliary_weight: float = Field(default=1 / 32, gt=0, allow_inf_nan=False)
    """Weight of the `auxk` loss."""
    dead_after_steps: int = Field(default=64, ge=1)
    """A latent is dead when it was silent for more steps than this."""
    unit_norm: bool = True
    """Hold decoder rows at norm 1; the part of their gradient along themselves is removed."""
    encoder_start: Literal["tied", "random"] = "tied"
    """Where the encoder starts: `tied`, at the decoder; or drawn on its own."""
    decoder_start: Literal["random", "data"] = "random"
    """Where decoder rows start: in random directions, or at `data`, towards tokens drawn without replacement."""
    bias_start: Literal["mean", "geometric_median", "zero"] = "mean"
    """Where the decoder bias starts, over a sample of tokens."""
    threshold_start: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    """Where the thresholds of `jump_relu` start."""
    bandwidth: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    """Width of the window around a threshold in which pre-activations move it (`jump_relu`)."""

    @model_validator(mode="after")
    def _require_prefixes(self) -> "SaeSettings":
        ends = self.prefixes
        rises = all(before < after for before, after in zip((0.0, *ends), ends, strict=False))
        if ends and not (rises and ends[-1] == 1.0):
            raise ConfigError(
                "the prefixes are no shares that rise to 1",
                seen=f"prefixes = {ends}",
                allowed="for example 0.0625, 0.25, 1.0",
                remedy="end with 1.0, or leave prefixes empty",
            )
        return self

    @property
    def error_scale(self) -> Literal["norm", "variance", "plain"]:
        """What `error` stands for."""
        if self.error != "auto":
            return self.error
        return "norm" if self.activation == "relu" else "variance"

    def n_latents(self, width: int) -> int:
        """Return the number of latents on tokens of a width.

        Raises
        ------
        ConfigError
            If more latents are to be active than there are, or two prefixes hold the same latents.
        """
        n_latents = self.latents or self.expansion * width
        if "topk" in self.activation and self.k > n_latents:
            raise ConfigError(
                "more latents are to be active than there are",
                seen=f"k = {self.k} of {n_latents:,} latents on tokens of width {width}",
                allowed=f"k of 1 to {n_latents:,}",
                remedy="lower k or raise expansion",
            )
        ends = self.prefix_ends(n_latents)
        if len(set(ends)) < len(ends) or ends[0] < 1:
            raise ConfigError(
                "a prefix holds no latent of its own",
                seen=f"prefixes = {self.prefixes} of {n_latents:,} latents end at {ends}",
                remedy="choose fewer prefixes or raise expansion",
            )
        return n_latents

    def prefix_ends(self, n_latents: int) -> tuple[int, ...]:
        """Return how many latents each nested prefix holds; the last holds all."""
        return tuple(round(share * n_latents) for share in self.prefixes) or (n_latents,)

    def n_auxiliary(self, width: int) -> int:
        """Return how many dead latents per token `auxk` uses."""
        return self.auxiliary_k or max(1, width // 2)


def learning_rate_for(n_latents: int) -> float:
    """Return a learning rate that falls with the square root of the number of latents.

    The law of Gao et al. (2024, arXiv:2406.04093, figure 3): 2e-4 at 16,384 latents.

    Examples
    --------
    >>> learning_rate_for(65536)
    0.0001
    """
    return float(2e-4 / (n_latents / 2**14) ** 0.5)
