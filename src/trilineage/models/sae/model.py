"""The sparse autoencoder: tokens to a few active latents and back, its weights stored one row per latent."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from trilineage.core.errors import ConfigError, DataError
from trilineage.core.seeding import derive_seed
from trilineage.models.sae.codes import SparseCodes
from trilineage.models.sae.decoding import decode
from trilineage.models.sae.encoding import Encoder, encode_above, encode_largest
from trilineage.models.sae.settings import SaeSettings, learning_rate_for

THRESHOLD_PACE = 0.001
"""How far the threshold of a batch top-k follows the smallest active value of a batch."""


class SparseAutoencoder(nn.Module):
    """f = s((x - b_dec) W_enc' + b_enc), x_hat = f W_dec + b_dec, with s a ReLU, a top-k or a JumpReLU.

    Both weights are (latent, width): a latent is a row, so encoding and its gradient read and write whole rows.

    Parameters
    ----------
    width
        Width of the tokens.
    settings
        Which latents are active, and where the weights start.
    seed
        Decides the random start; None leaves the weights to be loaded.
    """

    token_variance: Tensor
    """Sum over the axes of the variance of the tokens."""
    threshold: Tensor
    """What a pre-activation must exceed after training (batch top-k)."""
    steps_silent: Tensor
    """Training steps since each latent was last active."""

    def __init__(self, width: int, settings: SaeSettings, *, seed: int | None = 0):
        super().__init__()
        self.width, self.settings = width, settings
        n_latents = self.n_latents = settings.n_latents(width)
        decoder, encoder = (torch.empty(n_latents, width) for _ in range(2))
        if seed is not None:
            _draw(decoder, encoder, is_tied=settings.encoder_start == "tied", seed=seed)
        self.decoder_weight = nn.Parameter(decoder)
        self.encoder_weight = nn.Parameter(encoder)
        self.encoder_bias = nn.Parameter(torch.zeros(n_latents))
        self.decoder_bias = nn.Parameter(torch.zeros(width))
        is_jump = settings.activation == "jump_relu"
        start = torch.full((n_latents,), settings.threshold_start)
        self.log_threshold = nn.Parameter(start.log()) if is_jump else None
        self.register_buffer("token_variance", torch.ones(()))
        self.register_buffer("threshold", torch.zeros(()))
        self.register_buffer("steps_silent", torch.zeros(n_latents, dtype=torch.int32))

    def forward(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """Return the reconstruction; no gradient passes (training takes its own from the objective)."""
        return self.decode(self.encode(tokens))

    @torch.no_grad()
    def encode(self, tokens: Float[Tensor, "token width"]) -> SparseCodes:
        """Return the active latents of tokens, as after training: a batch top-k goes by its threshold.

        Raises
        ------
        DataError
            If the tokens have another width, or one of them is not finite.
        """
        self.require(tokens)
        centred = self.centre(tokens)
        if self.settings.activation == "topk":
            return encode_largest(centred, self.encoder, self.settings.k)
        return encode_above(centred, self.encoder, self.bounds())

    def decode(self, codes: SparseCodes) -> Float[Tensor, "token width"]:
        """Return the tokens that codes stand for."""
        return decode(codes, self.decoder_weight, self.decoder_bias)

    @property
    def encoder(self) -> Encoder:
        """Weight and bias of the encoder, without gradient."""
        return Encoder(self.encoder_weight.detach(), self.encoder_bias.detach())

    def centre(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """Return what the encoder sees: tokens minus the decoder bias, in single precision."""
        centred: Tensor = tokens.float() - self.decoder_bias.detach()
        return centred

    @torch.no_grad()
    def bounds(self) -> Float[Tensor, " latent"]:
        """Return what the pre-activation of each latent must exceed to be active."""
        if self.log_threshold is not None:
            return self.log_threshold.exp()
        return self.threshold.expand(self.n_latents).contiguous()

    def require(self, tokens: Tensor, positions: Int64[Tensor, " token"] | None = None) -> None:
        """Refuse tokens of another width, and NaN and infinity.

        Parameters
        ----------
        tokens
            Tokens of a batch.
        positions
            How messages call them; None: by their place in the batch.
        """
        if tokens.ndim != 2 or tokens.shape[1] != self.width:
            raise DataError(
                "the tokens are not those of this autoencoder",
                seen=f"shape {tuple(tokens.shape)}",
                allowed=f"(token, {self.width})",
                remedy="take the tokens of the backbone and block that it was trained on",
            )
        if torch.isfinite(tokens.sum(dtype=torch.float64)):
            return
        rows = (~torch.isfinite(tokens)).any(dim=1).nonzero()[:, 0]
        if len(rows):
            first = int(rows[0]) if positions is None else int(positions[rows[0]])
            raise DataError(
                f"{len(rows)} of {len(tokens)} tokens of a batch are not finite",
                seen=f"NaN or infinity in the token at position {first}",
                remedy="extract the tokens again in float32, or leave out that image",
            )

    @torch.no_grad()
    def constrain_(self) -> None:
        """Bring decoder rows back to norm 1, if the settings ask for it; called after every update."""
        if self.settings.unit_norm:
            norms = torch.linalg.vector_norm(self.decoder_weight, dim=1, keepdim=True)
            self.decoder_weight.div_(norms.clamp_min_(1e-12))

    @torch.no_grad()
    def note_(self, counts: Int64[Tensor, " latent"], smallest: float | None) -> None:
        """Remember from a training batch which latents were active, and the smallest active value of a batch top-k."""
        self.steps_silent += 1
        self.steps_silent[counts > 0] = 0
        if smallest is not None and smallest > 0:
            pace = THRESHOLD_PACE if self.threshold > 0 else 1.0
            self.threshold.lerp_(torch.tensor(smallest, device=self.threshold.device), pace)

    def dead(self) -> Int64[Tensor, " dead"]:
        """Return the latents that were silent for more steps than the settings allow, ascending."""
        return (self.steps_silent > self.settings.dead_after_steps).nonzero()[:, 0]


class SaeBundle(nn.Module):
    """Several autoencoders (k, expansion, seed) that learn from the same tokens in one pass, each as if it were alone.

    Parameters
    ----------
    members
        Autoencoders on tokens of one width.
    """

    def __init__(self, members: Sequence[SparseAutoencoder]):
        super().__init__()
        if len({member.width for member in members}) != 1:
            raise ConfigError(
                "a bundle holds autoencoders on the same tokens",
                seen=f"widths {[member.width for member in members]}",
                allowed="one or more of one width",
            )
        self.members = nn.ModuleList(members)

    def constrain_(self) -> None:
        """Let each member do so."""
        for member in self.members:
            member.constrain_()

    def rate_scales(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Return the parameters of each member with its learning rate relative to the first member's, by the law."""
        first = learning_rate_for(self.members[0].n_latents)
        return [
            (learning_rate_for(member.n_latents) / first, list(member.parameters()))
            for member in self.members
        ]


@torch.no_grad()
def _draw(
    decoder: Float[Tensor, "latent width"],
    encoder: Float[Tensor, "latent width"],
    *,
    is_tied: bool,
    seed: int,
) -> None:
    """Fill decoder rows with random directions; the encoder with the same, or as Kaiming uniform does."""
    draws = torch.Generator().manual_seed(derive_seed(seed, "sparse autoencoder"))
    decoder.normal_(generator=draws)
    decoder.div_(torch.linalg.vector_norm(decoder, dim=1, keepdim=True).clamp_min_(1e-12))
    bound = (6.0 / decoder.shape[1]) ** 0.5
    if is_tied:
        encoder.copy_(decoder)
    else:
        encoder.uniform_(-bound, bound, generator=draws)
