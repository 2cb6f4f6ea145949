"""The autoencoders of a Run: trained side by side on the tokens of the training images, or brought along."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from trilineage.core.errors import ConfigError
from trilineage.core.seeding import derive_seed, seed_everything
from trilineage.data.sae_formats.open import open_sae
from trilineage.data.tokens.batches import ShuffledTokens
from trilineage.data.tokens.reader import TokenReader
from trilineage.evaluation.sae import CodedTokens, ReconstructionTally
from trilineage.models.sae.exchange import to_model
from trilineage.models.sae.model import SaeBundle, SparseAutoencoder
from trilineage.models.sae.start import start_from_tokens
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.material import Material
from trilineage.training.loop import Validate, train
from trilineage.training.objectives.sae.step import sae_step
from trilineage.training.place import Place

N_START_TOKENS = 50_000
"""Tokens that the start of an autoencoder is computed from."""
N_WATCHED_IMAGES = 64
"""Validation images whose reconstruction is looked at after every epoch."""
_IMAGES_AT_ONCE = 16

logger = logging.getLogger(__name__)


class Dictionaries(NamedTuple):
    """Autoencoders of one seed each; the first is the one whose latents become concepts."""

    members: list[SparseAutoencoder]
    """In evaluation mode."""
    history: dict[str, Any]
    """Course of their training; empty for one that was brought along."""

    @property
    def first(self) -> SparseAutoencoder:
        """The autoencoder that is explained."""
        return self.members[0]


def require_possible(config: Config, width: int) -> None:
    """Refuse what cannot work with tokens of a width, before any token is computed.

    Raises
    ------
    ConfigError
        More latents are to be active than there are, or barcodes are asked for of tokens that are not kept.
    FormatError, UnsafeFileError, DataError
        The autoencoder that is brought along cannot be read, or is of tokens of another width.
    """
    if config.encoder.keep == "cls" and not config.barcode.with_cls:
        raise ConfigError(
            "no token is left that barcodes could count",
            seen="encoder.keep=cls, barcode.with_cls=false",
            allowed="barcode.with_cls=true where the class token alone is kept",
            remedy="set barcode.with_cls=true, or encoder.keep=both",
        )
    if config.weights:
        open_sae(config.weights, width=width)
    else:
        config.sae.n_latents(width)


def make_dictionaries(reader: TokenReader, material: Material, config: Config, place: Place) -> Dictionaries:
    """Train the autoencoders that the configuration asks for, or load the one it names.

    The same seed, tokens and configuration give the same weights on a CPU.

    Raises
    ------
    FormatError, UnsafeFileError, DataError
        The autoencoder that was brought along cannot be read, or is of tokens of another width.
    """
    if config.weights:
        weights = open_sae(config.weights, width=reader.source.width)
        return Dictionaries([to_model(weights).to(place.device)], {})
    seed_everything(place.seed)
    tokens = ShuffledTokens(reader, material.split.positions("train"), **config.tokens.shuffling())
    members = _begin(tokens, reader.source.width, config, place)
    model: nn.Module = members[0] if len(members) == 1 else SaeBundle(members)
    settings = config.training.for_latents(members[0].n_latents, len(tokens))
    history = train(
        model,
        sae_step(),
        tokens,
        settings,
        seed=place.seed,
        device=place.device,
        checkpoints_dir=place.checkpoints_dir,
        fingerprint=place.fingerprint,
        validate=_watching(members[0], reader, material),
        name="autoencoder",
    )
    return Dictionaries([member.eval() for member in members], {"autoencoder": history})


def _begin(tokens: ShuffledTokens, width: int, config: Config, place: Place) -> list[SparseAutoencoder]:
    """Make the autoencoders and let them start from a sample of the tokens."""
    sample = torch.from_numpy(tokens.sample(N_START_TOKENS, seed=derive_seed(place.seed, "start")))
    members = []
    for number in range(config.n_seeds):
        seed = derive_seed(place.seed, "autoencoder", number)
        member = SparseAutoencoder(width, config.sae, seed=seed)
        start_from_tokens(member, sample, seed=seed)
        members.append(member)
    return members


def _watching(member: SparseAutoencoder, reader: TokenReader, material: Material) -> Validate | None:
    """Return a look at some validation images after every epoch, or None where there are none."""
    valid = material.split.positions("valid")
    if len(valid) == 0:
        return None
    chosen = valid[np.linspace(0, len(valid) - 1, min(len(valid), N_WATCHED_IMAGES)).astype(np.int64)]

    def validate() -> Mapping[str, float]:
        member.eval()
        scores = reconstruct(member, reader, chosen).scores()
        return {"valid_loss": scores.fvu or 0.0, "valid_l0": scores.l0 or 0.0}

    return validate


@torch.inference_mode()
def reconstruct(
    member: SparseAutoencoder, reader: TokenReader, images: Int[np.ndarray, " image"]
) -> ReconstructionTally:
    """Count how well an autoencoder stands for the tokens of some images."""
    source = reader.source
    tally = ReconstructionTally(source.width, member.n_latents)
    device = member.decoder_bias.device
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        tokens = reader.read(images[start : start + _IMAGES_AT_ONCE]).astype(np.float32)
        flat = torch.from_numpy(tokens.reshape(-1, source.width)).to(device)
        codes = member.encode(flat)
        is_cls = np.tile(np.arange(source.n_tokens) < min(source.n_prefix, 1), len(tokens))
        tally.add(
            CodedTokens(
                flat.cpu().numpy(),
                member.decode(codes).cpu().numpy(),
                codes.indptr.cpu().numpy(),
                codes.latents.cpu().numpy(),
                codes.values.cpu().numpy(),
                is_cls,
            )
        )
    return tally
