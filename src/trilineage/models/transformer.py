"""A small transformer that reads a latent as a sequence of tokens and lets its attention be looked at."""

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError
from trilineage.models.layers import RowDropout


class TransformerSettings(Settings):
    """Shape of the transformer over the latent."""

    token_width: int = Field(default=8, ge=1)
    """Latent units per token: 256 units make 32 tokens. 1 makes every unit a token (published; over 8 times slower)."""
    embed_dim: int = Field(default=64, ge=1)
    """Width of a token inside the transformer."""
    hidden: int = Field(default=256, ge=1)
    """Width of the feed-forward part of each layer (the published hidden width)."""
    n_heads: int = Field(default=4, ge=1)
    """Attention heads."""
    n_layers: int = Field(default=2, ge=1)
    """Layers."""

    @model_validator(mode="after")
    def _require_whole_heads(self) -> "TransformerSettings":
        if self.embed_dim % self.n_heads:
            raise ConfigError(
                "the embedding cannot be cut into heads",
                seen=f"embed_dim {self.embed_dim}, n_heads {self.n_heads}",
                allowed="embed_dim a multiple of n_heads",
                remedy="change one of them",
            )
        return self


class LatentTransformer(nn.Module):
    """Classify from a class token that attends to the tokens of the latent.

    Each group of `token_width` units has its own embedding, weight and bias (the feature tokenizer of Gorishniy et al.
    2021, arXiv 2106.11959, with several features per token), so no position embedding is needed beside the bias. Layers
    are pre-norm.

    Parameters
    ----------
    d_in
        Latent units; the last token is filled up with zeros.
    n_outputs
        Columns of logits.
    """

    def __init__(self, d_in: int, n_outputs: int, *, settings: TransformerSettings, dropout: float):
        super().__init__()
        width, embed_dim = settings.token_width, settings.embed_dim
        self.token_width = width
        self.n_tokens = -(-d_in // width)
        self.n_filled = self.n_tokens * width - d_in
        self.embedding = nn.Parameter(torch.empty(self.n_tokens, width, embed_dim))
        self.position = nn.Parameter(torch.empty(self.n_tokens, embed_dim))
        self.class_token = nn.Parameter(torch.empty(embed_dim))
        nn.init.normal_(self.embedding, std=width**-0.5)
        nn.init.normal_(self.position, std=0.02)
        nn.init.normal_(self.class_token, std=0.02)
        self.layers = nn.ModuleList(_Layer(settings, dropout) for _ in range(settings.n_layers))
        self.norm = nn.LayerNorm(embed_dim)
        self.output = nn.Linear(embed_dim, n_outputs)

    def forward(self, latent: Float[Tensor, "cell latent"]) -> Float[Tensor, "cell output"]:
        """Return logits."""
        tokens = self._tokens(latent)  # cell token embed
        for layer in self.layers:
            tokens = layer(tokens)
        logits: Tensor = self.output(self.norm(tokens[:, 0]))  # cell output
        return logits

    def attention(self, latent: Float[Tensor, "cell latent"]) -> Float[Tensor, "cell layer head token token"]:
        """Return what each token (row) attends to; rows sum to 1, token 0 is the class token."""
        tokens = self._tokens(latent)
        weights = []
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            weights.append(layer.attention(tokens))
            tokens = layer(tokens)
        return torch.stack(weights, dim=1)

    def _tokens(self, latent: Float[Tensor, "cell latent"]) -> Float[Tensor, "cell token embed"]:
        filled = nn.functional.pad(latent, (0, self.n_filled))
        groups = filled.view(len(latent), self.n_tokens, self.token_width)  # cell token width
        tokens = torch.einsum("ctw,twe->cte", groups, self.embedding) + self.position  # cell token embed
        return torch.cat([self.class_token.expand(len(latent), 1, -1), tokens], dim=1)


class _Layer(nn.Module):
    """One pre-norm layer: attention, then a feed-forward part, each added to its input."""

    def __init__(self, settings: TransformerSettings, dropout: float):
        super().__init__()
        embed_dim = settings.embed_dim
        self.n_heads = settings.n_heads
        self.norm_attention = nn.LayerNorm(embed_dim)
        self.query_key_value = nn.Linear(embed_dim, 3 * embed_dim)
        self.mix = nn.Linear(embed_dim, embed_dim)
        self.norm_hidden = nn.LayerNorm(embed_dim)
        self.hidden = nn.Sequential(
            nn.Linear(embed_dim, settings.hidden), nn.GELU(), nn.Linear(settings.hidden, embed_dim)
        )
        self.drop_attention = RowDropout(dropout)
        self.drop_hidden = RowDropout(dropout)

    def forward(self, tokens: Float[Tensor, "cell token embed"]) -> Float[Tensor, "cell token embed"]:
        query, key, value = self._heads(tokens)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)  # cell head token part
        attended = attended.transpose(1, 2).flatten(2)  # cell token embed
        tokens = tokens + self.drop_attention(self.mix(attended))
        added: Tensor = tokens + self.drop_hidden(self.hidden(self.norm_hidden(tokens)))
        return added

    def attention(self, tokens: Float[Tensor, "cell token embed"]) -> Float[Tensor, "cell head token token"]:
        """Return softmax(Q K' / sqrt(d)) (Vaswani et al. 2017, equation 1)."""
        query, key, _ = self._heads(tokens)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        return torch.softmax(scores, dim=-1)

    def _heads(self, tokens: Float[Tensor, "cell token embed"]) -> tuple[Tensor, Tensor, Tensor]:
        joined = self.query_key_value(self.norm_attention(tokens))  # cell token 3*embed
        parts = joined.unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)  # 3 cell head token part
        return parts[0], parts[1], parts[2]
