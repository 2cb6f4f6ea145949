"""From concepts to a decision: how the probability of a class changes when latents are switched off or set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trilineage.core.errors import ConfigError
from trilineage.core.seeding import derive_seed
from trilineage.explain.concepts.attribution import TokenCodes, TokenMaker, encode_tokens
from trilineage.explain.saliency.capture import evaluating, graph_from
from trilineage.explain.saliency.targets import Targets
from trilineage.models.sae.codes import SparseCodes
from trilineage.models.sae.decoding import decode
from trilineage.models.sae.model import SparseAutoencoder

Where = Literal["all", "patches", "cls", "active"]
"""Tokens in which a latent is set: all that are kept, only patches, only the class token, or those it is active in."""

_PAIRS_AT_ONCE, _FORWARDS_AT_ONCE = 8192, 16


@runtime_checkable
class EditableClassifier(Protocol):
    """A classifier whose backbone can be edited inside (`models.image_classifier.ImageClassifier`)."""

    backbone: Any
    """A `models.backbones.backbone.Backbone`."""

    def node_log_probabilities(self, features: Any) -> Any:
        """Return the log-probability of every node (image node) from features (image d)."""
        ...


@runtime_checkable
class EditingEncoder(TokenMaker, Protocol):
    """An encoder whose tokens can be put back into its network (`models.encoder.TokenEncoder`)."""

    backbone: Any
    """A `models.backbones.backbone.Backbone`."""
    block: int
    """Block whose output the tokens are, from 0."""
    device: torch.device
    """Where it computes."""

    def kept(self, tokens: Any) -> Any:
        """Return those of a block's tokens that are kept."""
        ...

    def among_all(self, tokens: Any, kept: Any) -> Any:
        """Put kept tokens back among all tokens of the block."""
        ...


@dataclass(frozen=True)
class LatentEdit:
    """What is done to the codes of an image: some latents get a value, all others stay as they are."""

    latents: tuple[int, ...]
    """Which ones."""
    value: float = 0.0
    """Activation they get; 0 switches them off."""
    where: Where = "all"
    """In which tokens."""


@dataclass(frozen=True)
class Pathway:
    """Log-probabilities of every node before and after each edit."""

    edits: tuple[LatentEdit, ...]
    """What was done, each to the image as it was."""
    before: Float[np.ndarray, "image node"]
    """Of the image as it is."""
    after: Float[np.ndarray, "image edit node"]
    """After each edit."""

    @property
    def change(self) -> Float[np.ndarray, "image edit node"]:
        """Change of log p(node): below 0 where the node needed what was taken.

        The difference of two nodes is that of their logits where a softmax is over both.
        """
        return self.after - self.before[:, None]

    def evidence_change(self, targets: Targets) -> Float[np.ndarray, "image edit target"]:
        """Return the change of `Targets.evidence`: of the log-odds of a node against its siblings, for instance."""
        before = targets.evidence(torch.from_numpy(self.before))
        columns = [targets.evidence(torch.from_numpy(self.after[:, e])) for e in range(len(self.edits))]
        return torch.stack([column - before for column in columns], dim=1).numpy()


def change_tokens(
    tokens: Float[Tensor, "b token width"], sae: SparseAutoencoder, edit: LatentEdit, n_prefix: int
) -> Float[Tensor, "b token width"]:
    """Return x + (f' - f) W_dec: tokens in which some latents have other activations.

    What the autoencoder does not reconstruct stays in the token (the error term x - x_hat), so that an edit which
    changes nothing gives the token back. Marks et al. 2024 (Sparse feature circuits), section 3.2.

    Parameters
    ----------
    tokens
        Kept tokens of a block.
    sae
        The autoencoder of these tokens.
    edit
        What becomes of which latents.
    n_prefix
        Tokens before the patches.
    """
    codes = TokenCodes(
        sae.encode(tokens.flatten(0, 1)), len(tokens), n_prefix, (tokens.shape[1] - n_prefix, 1)
    )
    return tokens + _difference(codes, sae, edit)


def pathway(
    classifier: EditableClassifier,
    encoder: EditingEncoder,
    sae: SparseAutoencoder,
    pixels: Float[Tensor, "image 3 h w"],
    edits: Sequence[LatentEdit],
) -> Pathway:
    """Edit the latents of images and see what the classifier makes of it.

    Parameters
    ----------
    classifier
        On the backbone of the encoder.
    encoder
        Where the tokens of the autoencoder come from.
    sae
        The autoencoder.
    pixels
        RGB in [0, 1].
    edits
        Each is done to every image by itself; one forward for each.

    Raises
    ------
    ConfigError
        If the classifier has another backbone than the encoder, or there is no such latent.
    """
    require_same_backbone(classifier, encoder)
    codes = encode_tokens(encoder, sae, pixels)
    with evaluating(classifier), torch.inference_mode():
        before = _decide(classifier, encoder, pixels, None)
        after = [_decide(classifier, encoder, pixels, _difference(codes, sae, edit)) for edit in edits]
    return Pathway(tuple(edits), before, np.stack(after, axis=1) if after else before[:, None][:, :0])


def first_order_changes(
    classifier: EditableClassifier,
    encoder: EditingEncoder,
    sae: SparseAutoencoder,
    pixels: Float[Tensor, "image 3 h w"],
    targets: Targets,
) -> Float[np.ndarray, "image latent"]:
    """Return by how much switching each latent off would change the evidence of a target, to first order.

    -sum over tokens of f <W_dec, gradient of the evidence>: one forward and one backward for all latents (attribution
    patching; Syed et al. 2023). Good for an order; `pathway` gives the change itself. 0 for latents that are silent.

    Parameters
    ----------
    targets
        The first target of each image is taken.
    """
    require_same_backbone(classifier, encoder)
    codes = encode_tokens(encoder, sae, pixels)
    slope = encoder.kept(_slope(classifier, encoder, pixels, targets)).flatten(0, 1)
    with torch.no_grad():
        image = codes.codes.tokens // codes.n_tokens
        found = torch.zeros(len(pixels), codes.codes.n_latents, device=slope.device)
        for start in range(0, codes.codes.n_active, _PAIRS_AT_ONCE):
            pairs = slice(start, start + _PAIRS_AT_ONCE)
            latents = codes.codes.latents[pairs].long()
            along = (sae.decoder_weight[latents] * slope[codes.codes.tokens[pairs]]).sum(dim=1)
            found.index_put_((image[pairs], latents), -along * codes.codes.values[pairs], accumulate=True)
    return found.cpu().numpy()


@dataclass(frozen=True)
class SwitchCurves:
    """Probability of a target of each image while its latents go, or come, in an order; the error term stays."""

    counts: Int[np.ndarray, " step"]
    """Latents that have gone or come; images with fewer active ones have all of theirs."""
    off: Float[np.ndarray, "image step"]
    """Probability while the first ones are off and all others are on."""
    on: Float[np.ndarray, "image step"]
    """Probability while the first ones are on and all others are off."""
    random_off: Float[np.ndarray, "image step"]
    """The same in random orders of the active latents, mean over the orders."""
    random_on: Float[np.ndarray, "image step"]
    """The same."""

    @property
    def off_gap(self) -> Float[np.ndarray, " image"]:
        """Mean over the steps of random minus ordered: above 0 where the order finds what is needed."""
        return (self.random_off - self.off).mean(axis=1)

    @property
    def on_gap(self) -> Float[np.ndarray, " image"]:
        """Mean over the steps of ordered minus random: above 0 where the order finds what is enough."""
        return (self.on - self.random_on).mean(axis=1)


def switch_curves(  # noqa: PLR0913  (who decides, from what, about what, in which order, how)
    classifier: EditableClassifier,
    encoder: EditingEncoder,
    sae: SparseAutoencoder,
    pixels: Float[Tensor, "image 3 h w"],
    targets: Targets,
    order: Float[np.ndarray, "image latent"],
    *,
    counts: Sequence[int] = (0, 1, 2, 5, 10, 20, 50),
    n_random: int = 3,
    seed: int = 0,
) -> SwitchCurves:
    """Switch the latents of each image off, and on, from the first of an order on, beside random orders.

    Parameters
    ----------
    targets
        The first target of each image is watched (`Targets.probability`).
    order
        The larger, the earlier: activations, or `-first_order_changes(...)`. Only active latents are switched.
    counts
        How many latents, ascending.
    n_random
        Random orders per image.
    seed
        Decides them.

    Raises
    ------
    ConfigError
        If the classifier has another backbone than the encoder.
    """
    require_same_backbone(classifier, encoder)
    codes = encode_tokens(encoder, sae, pixels)
    rng = np.random.default_rng(derive_seed(seed, "orders of latents"))
    curves = []
    with evaluating(classifier), torch.inference_mode():
        for image in range(len(pixels)):
            watch = _Watch(classifier, encoder, sae, pixels[image], targets.take(slice(image, image + 1)))
            own = codes.of_image(image).codes
            drawn = [watch.curves(own, rng.random(own.n_latents), counts) for _ in range(n_random)]
            ordered = watch.curves(own, order[image], counts)
            curves.append(np.concatenate([ordered, np.mean(drawn, axis=0) if drawn else ordered * np.nan]))
    return SwitchCurves(np.asarray(counts), *np.stack(curves, axis=1))


def require_same_backbone(classifier: EditableClassifier, encoder: EditingEncoder) -> None:
    """Refuse a classifier that does not decide from the tokens of the encoder.

    Raises
    ------
    ConfigError
        If it has another backbone, or several.
    """
    several = getattr(classifier, "backbones", ())
    if classifier.backbone is encoder.backbone and len(several) <= 1:
        return
    own, other = (module.state_dict() for module in (classifier.backbone, encoder.backbone))
    is_same = own.keys() == other.keys() and all(torch.equal(own[key].cpu(), other[key].cpu()) for key in own)
    if not is_same or len(several) > 1:
        raise ConfigError(
            "the classifier does not decide from the tokens of this encoder",
            seen=f"{len(several)} backbones" if len(several) > 1 else "other weights",
            allowed="a classifier with one backbone, the encoder's",
            remedy="make the encoder from the Run of that classifier (encoder.run)",
        )


def _difference(
    codes: TokenCodes, sae: SparseAutoencoder, edit: LatentEdit
) -> Float[Tensor, "image token width"]:
    """Return (f' - f) W_dec."""
    current = codes.of_latents(edit.latents)  # image latent token
    is_set = torch.ones_like(current, dtype=torch.bool)
    if edit.where == "active":
        is_set = current > 0
    elif edit.where != "all":
        is_set[:, :, codes.n_prefix :] = edit.where == "patches"
        is_set[:, :, : codes.n_prefix] = edit.where == "cls"
    change = torch.where(is_set, edit.value - current, 0.0)
    return change.transpose(1, 2) @ sae.decoder_weight.detach()[list(edit.latents)]


def _decide(
    classifier: EditableClassifier,
    encoder: EditingEncoder,
    pixels: Float[Tensor, "image 3 h w"],
    difference: Float[Tensor, "image token width"] | None,
) -> Float[np.ndarray, "image node"]:
    """Return the log-probabilities of every node after a difference was added to the kept tokens."""

    def edit(tokens: Tensor) -> Tensor:
        return tokens if difference is None else encoder.among_all(tokens, encoder.kept(tokens) + difference)

    features = classifier.backbone.edited(pixels.to(encoder.device), encoder.block, edit)
    log_p: Tensor = classifier.node_log_probabilities(features)
    return log_p.float().cpu().numpy()


def _slope(
    classifier: EditableClassifier,
    encoder: EditingEncoder,
    pixels: Float[Tensor, "image 3 h w"],
    targets: Targets,
) -> Float[Tensor, "image all width"]:
    """Return the gradient of the evidence of the first target of each image by every token of the block."""
    backbone, kept = classifier.backbone, []

    def note(tokens: Tensor) -> Tensor:
        kept.append(tokens)
        return tokens

    layer: nn.Module = backbone.blocks[encoder.block]
    with evaluating(classifier), graph_from(layer):
        log_p = classifier.node_log_probabilities(
            backbone.edited(pixels.to(encoder.device), encoder.block, note)
        )
        (slope,) = torch.autograd.grad(targets.evidence(log_p)[:, 0].sum(), kept[0])
    return slope.detach()


@dataclass(frozen=True)
class _Watch:
    """One image and the target whose probability is watched."""

    classifier: EditableClassifier
    encoder: EditingEncoder
    sae: SparseAutoencoder
    pixels: Tensor
    targets: Targets

    def curves(
        self, codes: SparseCodes, order: Float[np.ndarray, " latent"], counts: Sequence[int]
    ) -> Float[np.ndarray, "2 step"]:
        """Return the probability while the first latents of an order are off, and while only they are on."""
        active = codes.latents.unique().long().cpu().numpy()
        rank = np.full(codes.n_latents, len(active))
        rank[active[np.argsort(-order[active], kind="stable")]] = np.arange(len(active))
        rank_of_pair = torch.as_tensor(rank, device=codes.values.device)[codes.latents.long()]
        off = [self._difference(codes, rank_of_pair < count) for count in counts]
        on = [self._difference(codes, rank_of_pair >= count) for count in counts]
        return self._probabilities(torch.cat(off + on)).reshape(2, len(counts))

    def _difference(self, codes: SparseCodes, is_off: Tensor) -> Float[Tensor, "1 token width"]:
        """Return what is added to the tokens when some pairs are switched off."""
        gone = torch.where(is_off, -codes.values, 0.0)
        zero = torch.zeros_like(self.sae.decoder_bias)
        changed = SparseCodes(codes.indptr, codes.latents, gone, codes.n_latents)
        return decode(changed, self.sae.decoder_weight, zero)[None]

    def _probabilities(self, differences: Float[Tensor, "step token width"]) -> Float[np.ndarray, " step"]:
        """Return the probability of the target after each difference."""
        found = []
        for chunk in differences.split(_FORWARDS_AT_ONCE):
            pixels = self.pixels.expand(len(chunk), -1, -1, -1)
            log_p = torch.from_numpy(_decide(self.classifier, self.encoder, pixels, chunk))
            same = self.targets.take(np.zeros(len(chunk), np.int64))
            found.append(same.probability(log_p)[:, 0].numpy())
        return np.concatenate(found)
