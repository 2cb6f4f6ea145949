"""Plain weights to a model and back."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trilineage.core.errors import ConfigError
from trilineage.data.sae_formats.weights import SaeWeights
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.settings import SaeSettings

_SMALLEST_THRESHOLD = 1e-30
"""Stands for 0, which has no logarithm."""


def to_model(weights: SaeWeights) -> SparseAutoencoder:
    """Return a model with these weights, in evaluation mode; its codes are those of the package they come from.

    A threshold that all latents share makes a batch top-k, thresholds of their own a JumpReLU. Decoder rows of another
    norm than 1 stay as they are, also if training goes on.
    """
    thresholds = weights.thresholds
    has_own = thresholds is not None and bool((thresholds != thresholds[0]).any())
    activation: Literal["relu", "topk", "batch_topk", "jump_relu"]
    if weights.activation == "threshold":
        activation = "jump_relu" if has_own else "batch_topk"
    else:
        activation = weights.activation
    norms = np.linalg.norm(weights.decoder, axis=1)
    settings = SaeSettings(
        activation=activation,
        latents=weights.n_latents,
        k=weights.k or min(32, weights.n_latents),
        unit_norm=bool(np.abs(norms - 1).max() < 1e-3),
    )
    with torch.device("meta"):
        model = SparseAutoencoder(weights.width, settings, seed=None)
    state: dict[str, Tensor] = {
        "encoder_weight": torch.from_numpy(weights.encoder),
        "encoder_bias": torch.from_numpy(weights.encoder_bias),
        "decoder_weight": torch.from_numpy(weights.decoder),
        "decoder_bias": torch.from_numpy(weights.decoder_bias),
        "token_variance": torch.ones(()),
        "threshold": torch.tensor(0.0 if thresholds is None or has_own else float(thresholds[0])),
        "steps_silent": torch.zeros(weights.n_latents, dtype=torch.int32),
    }
    if has_own:
        state["log_threshold"] = torch.from_numpy(thresholds).clamp_min(_SMALLEST_THRESHOLD).log()
    model.load_state_dict(state, assign=True)
    return model.eval()


def from_model(model: SparseAutoencoder, *, source: str = "trilineage") -> SaeWeights:
    """Return the weights of a model, as it encodes after training; they share its memory.

    Raises
    ------
    ConfigError
        If a batch top-k has seen no batch and so has no threshold.
    """
    settings = model.settings
    has_thresholds = settings.activation in ("batch_topk", "jump_relu")
    if settings.activation == "batch_topk" and not model.threshold > 0:
        raise ConfigError("a batch top-k has no threshold yet", remedy="train it first")
    arrays = {name: value.detach().cpu().numpy() for name, value in model.named_parameters()}
    return SaeWeights(
        "threshold" if has_thresholds else "topk" if settings.activation == "topk" else "relu",
        arrays["encoder_weight"],
        arrays["encoder_bias"],
        arrays["decoder_weight"],
        arrays["decoder_bias"],
        k=settings.k if "topk" in settings.activation else 0,
        thresholds=model.bounds().cpu().numpy() if has_thresholds else None,
        source=source,
    )
