"""Which concepts a classifier decides by: latents of each decision, what switching them off changes, and curves."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from trilineage.core.artifacts import Run
from trilineage.core.progress import progress
from trilineage.core.seeding import derive_seed, generator
from trilineage.data.images.batches import ImageBatches
from trilineage.data.taxonomy import Taxonomy
from trilineage.explain.concepts.pathway import (
    LatentEdit,
    first_order_changes,
    pathway,
    require_same_backbone,
    switch_curves,
)
from trilineage.explain.saliency.targets import NodeTarget, Targets, siblings
from trilineage.models.classifier_file import load_image_classifier
from trilineage.models.encoder import TokenEncoder
from trilineage.models.inference import PixelClassifier
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.material import Material

PATHWAYS = "explain/pathways.json"
N_IMAGES, N_CURVES, N_LATENTS = 96, 24, 8
"""Held-out images looked at, those of them whose latents are switched one after the other, latents per decision."""
COUNTS = (0, 1, 2, 5, 10, 20, 50)

Made = tuple[TokenEncoder, SparseAutoencoder, Config]
"""The encoder, its autoencoder, and the options of the Run."""


def write_pathways(run: Run, material: Material, made: Made, classifier_run: Path) -> None:
    """Follow the decisions of a classifier back to latents, on held-out images, and write what was found.

    Raises
    ------
    ConfigError
        The classifier does not decide from the tokens of this encoder.
    """
    encoder, member, config = made
    classifier, taxonomy = load_image_classifier(classifier_run)
    classifier.to(encoder.device)
    require_same_backbone(classifier, encoder)
    positions = _chosen(material, config.seed)
    pixels = ImageBatches(material.table).take(positions).pixels
    called = _called(classifier, taxonomy, pixels)
    rows = [(NodeTarget(int(node), siblings(taxonomy, int(node))),) for node in called]
    targets = Targets.from_rows(rows, taxonomy.nodes)
    changes = _first_order(classifier, encoder, member, pixels, targets)
    curves = _curves(classifier, made, pixels, targets, changes)
    decisions = [
        _decision(
            classifier,
            encoder,
            member,
            pixels[called == node],
            targets.take(np.flatnonzero(called == node)),
            changes[called == node],
        )
        for node in np.unique(called)
    ]
    run.write_json(PATHWAYS, {"n_images": len(positions), "decisions": decisions, "curves": curves})


def _chosen(material: Material, seed: int) -> Int[np.ndarray, " image"]:
    """Return held-out images, evenly over their labels."""
    test = material.split.positions("test")
    order = generator(seed, "images of pathways").permutation(test)
    turn = np.zeros(len(order), dtype=np.int64)
    for label in np.unique(material.labels[order]):
        mine = material.labels[order] == label
        turn[mine] = np.arange(mine.sum())
    return np.sort(order[np.argsort(turn, kind="stable")][:N_IMAGES])


def _called(
    classifier: PixelClassifier, taxonomy: Taxonomy, pixels: torch.Tensor
) -> Int[np.ndarray, " image"]:
    """Return the leaf that each image is called."""
    with torch.inference_mode():
        device = next(classifier.parameters()).device
        log_p = classifier.node_log_probabilities(classifier.features(pixels.to(device))).cpu().numpy()
    return taxonomy.leaf_nodes[log_p[:, taxonomy.leaf_nodes].argmax(axis=1)]


def _first_order(
    classifier: PixelClassifier,
    encoder: TokenEncoder,
    member: SparseAutoencoder,
    pixels: torch.Tensor,
    targets: Targets,
) -> Float[np.ndarray, "image latent"]:
    found = []
    with progress("pathways", len(pixels), "images") as meter:
        for place in range(len(pixels)):
            one = slice(place, place + 1)
            found.append(first_order_changes(classifier, encoder, member, pixels[one], targets.take(one)))
            meter.advance()
    return np.concatenate(found)


def _decision(
    classifier: PixelClassifier,
    encoder: TokenEncoder,
    member: SparseAutoencoder,
    pixels: torch.Tensor,
    targets: Targets,
    changes: Float[np.ndarray, "image latent"],
) -> dict[str, Any]:
    """Return the latents whose absence would cost one decision most, with what it does cost."""
    mean = changes.mean(axis=0)
    latents = [int(latent) for latent in np.argsort(mean, kind="stable")[:N_LATENTS] if mean[latent] < 0]
    edits = [LatentEdit((latent,)) for latent in latents]
    exact = np.zeros((len(pixels), len(edits)))
    if edits:
        found = pathway(classifier, encoder, member, pixels, edits)
        exact = found.evidence_change(targets)[:, :, 0]
    return {
        "decision": targets.names[int(targets.nodes[0, 0])],
        "n_images": len(pixels),
        "latents": [
            {
                "latent": latent,
                "first_order": float(mean[latent]),
                "change": float(exact[:, place].mean()),
                "n_active": int((changes[:, latent] != 0).sum()),
            }
            for place, latent in enumerate(latents)
        ],
    }


def _curves(
    classifier: PixelClassifier,
    made: Made,
    pixels: torch.Tensor,
    targets: Targets,
    changes: Float[np.ndarray, "image latent"],
) -> dict[str, Any]:
    """Return mean curves of switching latents off and on, in the order of what they are worth and in random orders."""
    encoder, member, config = made
    some = slice(0, len(pixels), max(1, len(pixels) // N_CURVES))
    found = switch_curves(
        classifier,
        encoder,
        member,
        pixels[some],
        targets.take(some),
        -changes[some],
        counts=COUNTS,
        seed=derive_seed(config.seed, "switch curves"),
    )
    names = ("off", "on", "random_off", "random_on")
    return {
        "counts": list(COUNTS),
        "n_images": len(found.off),
        **{name: getattr(found, name).mean(axis=0).tolist() for name in names},
        "off_gap": float(found.off_gap.mean()),
        "on_gap": float(found.on_gap.mean()),
    }
