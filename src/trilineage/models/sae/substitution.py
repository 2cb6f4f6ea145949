"""What a classifier loses when an autoencoder's reconstruction takes the place of a block's output."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from trilineage.core.errors import ConfigError
from trilineage.models.encoder import TokenEncoder
from trilineage.models.inference import PixelClassifier
from trilineage.models.parent_networks import ParentNetworks
from trilineage.models.sae.encode_images import encode_tokens
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.streaming import Load, images_per_batch, in_batches, stream_batches

_VARIANTS = ("clean", "reconstruction", "with_error", "mean")


@dataclass(frozen=True)
class SubstitutionLosses:
    """Cross entropy of each image, in nats, under what takes the place of the kept tokens of a block."""

    positions: Int64[np.ndarray, " image"]
    """Position of each image."""
    clean: Float64[np.ndarray, " image"]
    """Nothing: the tokens stay as they are."""
    reconstruction: Float64[np.ndarray, " image"]
    """The autoencoder's reconstruction."""
    with_error: Float64[np.ndarray, " image"]
    """The reconstruction plus what it lacks, which are the tokens again: equal to `clean` but for rounding."""
    mean: Float64[np.ndarray, " image"]
    """The mean token, for every token."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the losses by name, as `evaluation.sae.loss_recovered` takes them, and the positions."""
        return asdict(self)


@dataclass(frozen=True)
class Substitution:
    """A classifier, the tokens inside it, and an autoencoder on these tokens.

    Raises
    ------
    ConfigError
        If the encoder's backbone is not the classifier's, which must be one, or widths differ.
    """

    classifier: PixelClassifier
    """The classifier whose losses are computed."""
    encoder: TokenEncoder
    """Which tokens of which block of its backbone."""
    sae: SparseAutoencoder
    """Trained on these tokens."""
    mean_token: Float[Tensor, " width"]
    """Mean of the training tokens."""

    def __post_init__(self) -> None:
        is_one = not isinstance(self.classifier, ParentNetworks) or len(self.classifier.backbones) == 1
        if not is_one or not _are_equal(self.classifier.backbone, self.encoder.backbone):
            raise ConfigError(
                "the tokens are not those inside the classifier",
                seen=f"encoder {self.encoder.spec.name}, classifier with {self.classifier.backbone.spec.name}",
                allowed="a classifier with one backbone, and an encoder made from it",
                remedy="take the encoder from the classifier's Run",
            )
        if not self.encoder.width == self.sae.width == len(self.mean_token):
            raise ConfigError(
                "the autoencoder is for other tokens",
                seen=f"tokens of width {self.encoder.width}, mean token of width {len(self.mean_token)}",
                allowed=f"width {self.sae.width}",
            )

    @torch.inference_mode()
    def log_probabilities(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "variant b node"]:
        """Return log-probabilities of every node, clean, reconstructed, with the error term, and of the mean token."""
        caught: list[Tensor] = []

        def keep(tokens: Tensor) -> Tensor:
            caught.append(self.encoder.kept(tokens).float())
            return tokens

        clean = self._after(pixels, keep)
        kept = caught[0]
        flat = kept.flatten(0, 1)
        rebuilt = self.sae.decode(encode_tokens(self.sae, flat)).view_as(kept)
        mean = self.mean_token.to(kept).expand_as(kept)
        changed = (rebuilt, rebuilt + (kept - rebuilt), mean)
        others = [self._after(pixels, self._replacing(tokens)) for tokens in changed]
        return torch.stack([clean, *others])

    def to(self, device: torch.device | str) -> None:
        """Move everything to a device and to evaluation."""
        self.classifier.eval().to(device)
        self.encoder.to(device)
        self.sae.eval().to(device)

    def _replacing(self, kept: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda tokens: self.encoder.among_all(tokens, kept.to(tokens.dtype))

    def _after(self, pixels: Tensor, edit: Callable[[Tensor], Tensor]) -> Tensor:
        features = self.classifier.backbone.edited(pixels, self.encoder.block, edit)
        return self.classifier.node_log_probabilities(features)


def substitution_losses(
    substitution: Substitution,
    load: Load,
    positions: Int[np.ndarray, " image"],
    labels: Int[np.ndarray, " image"],
    *,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> SubstitutionLosses:
    """Return the losses of images with and without the substitution; four forward passes each.

    Parameters
    ----------
    substitution
        Classifier, encoder and autoencoder; moved to `device`.
    load
        From positions to pixels.
    positions
        Labelled images, of patients that nothing was trained on.
    labels
        True node of each.
    workers
        Threads; 0: one per core.

    Raises
    ------
    ConfigError
        If a label is no node.
    """
    substitution.to(device)

    def compute(pixels: Tensor) -> Tensor:
        return substitution.log_probabilities(pixels.to(device)).cpu()

    step = images_per_batch(substitution.encoder.image_size, device)
    places = in_batches(0, len(positions), step)
    losses = np.zeros((len(_VARIANTS), len(positions)))
    done = 0
    batches = (positions[place] for place in places)
    for batch, found in stream_batches(compute, load, batches, workers=workers, device=device):
        own = labels[done : done + len(batch)]
        if own.min() < 0 or own.max() >= found.shape[2]:
            raise ConfigError(
                "a loss needs the node of every image",
                seen=f"labels of {own.min()} to {own.max()}",
                allowed=f"0 to {found.shape[2] - 1}",
                remedy="leave out images without a label",
            )
        log_p = found[:, torch.arange(len(own)), torch.from_numpy(np.asarray(own, np.int64))]
        losses[:, done : done + len(batch)] = -log_p.double().numpy()
        done += len(batch)
    by_name = dict(zip(_VARIANTS, losses, strict=True))
    return SubstitutionLosses(np.asarray(positions, dtype=np.int64), **by_name)


def _are_equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    if first is second:
        return True
    own, other = first.state_dict(), second.state_dict()
    return own.keys() == other.keys() and all(torch.equal(own[name].cpu(), other[name].cpu()) for name in own)
