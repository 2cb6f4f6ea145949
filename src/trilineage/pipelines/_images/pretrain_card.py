"""The model card of an encoder: what it is, what it has learned from, how to load it without this package."""

from collections.abc import Sequence
from typing import Any

from trilineage.models.backbones.spec import BackboneSpec
from trilineage.pipelines._images.pretrain_config import PretrainConfig

_LOADING = """```python
from functools import partial
import timm, torch
from safetensors.torch import load_file

stem = timm.models.vision_transformer_hybrid.ConvStem({stem}, act_layer=torch.nn.GELU)
net = timm.models.vision_transformer.VisionTransformer(
    img_size={size}, patch_size=1, num_classes=0, class_token={has_class_token}, global_pool="{pool}", fc_norm=False,
    embed_dim={width}, depth=6, num_heads={width} // 32,
    embed_layer=partial(timm.layers.HybridEmbed, backbone=stem, proj=False))
net.load_state_dict(load_file("weights/model.safetensors"))
features = net.eval()((pixels - 0.5) / 0.5)  # pixels in [0, 1], image 3 height width
```"""

_STEMS = {
    "cell_vit": "channels=(48, 96, 192), norm_layer=timm.layers.LayerNorm2d",
    "small_vit": "depth=4, channels=(40, 80, 160, 160), kernel_size=(3, 3, 3, 1), stride=(2, 2, 2, 1),\n"
    "    norm_layer=timm.layers.GroupNorm1",
}
"""How timm builds the stem of a network of ours."""


def model_card(
    config: PretrainConfig, spec: BackboneSpec, facts: dict[str, Any], epochs: Sequence[dict[str, float]]
) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    facts
        `n_images` by part, `learned_classes`, `n_weights`, `command`.
    epochs
        Course of the training, the last epoch last.
    """
    parts = [
        f"# Encoder {spec.name} for cells",
        _what(spec, facts),
        "## What it has learned from",
        _learned(config, facts),
        "## How",
        _how(config, facts, epochs),
        "## Loading it",
        f"`trilineage concepts fit --encoder RUN`, or `backbone.weights=RUN` of `trilineage images fit`.{_plain(spec)}",
        "## Limits",
        "Research use only, not a medical device. What the features tell of other stains, cameras and diseases has to "
        "be measured (`trilineage images probe`). Where labels were learned, whatever is computed from the features "
        "looks better on those labels than on new ones.",
    ]
    return "\n\n".join(parts) + "\n"


def _what(spec: BackboneSpec, facts: dict[str, Any]) -> str:
    height, width = spec.image_size
    return (
        f"A vision transformer of {facts['n_weights'] / 1e6:.1f} million weights in half precision for images of "
        f"{height} x {width} pixels: {spec.grid[0]} x {spec.grid[1]} patches, {spec.n_blocks} blocks of width "
        f"{spec.width}, feature by {'class token' if spec.pools == 'cls' else 'mean over patches'}."
    )


def _learned(config: PretrainConfig, facts: dict[str, Any]) -> str:
    counts, classes = facts["n_images"], facts["learned_classes"]
    chosen = [f"`{condition}`" for condition in config.data.keep] + [f"site {s}" for s in config.train_sites]
    only = f" (only {', '.join(chosen)})" if chosen else ""
    labels = f"with labels of {len(classes)} classes ({', '.join(classes)})" if classes else "without labels"
    return (
        f"{counts['train']:,} images{only}, {labels}; {counts['valid']:,} more were looked at after every epoch. Test "
        "images were not touched."
    )


def _how(config: PretrainConfig, facts: dict[str, Any], epochs: Sequence[dict[str, float]]) -> str:
    objective, training, last = config.objective, config.training, epochs[-1] if epochs else {}
    terms = [f"{objective.mask_ratio:.0%} of the patches are hidden and filled in"] * bool(
        objective.reconstruction
    )
    terms += ["the label is named from the same view"] * bool(facts["learned_classes"])
    values = ", ".join(
        f"{name.replace('_', ' ')} {last[name]:.3f}"
        for name in ("valid_loss", "valid_accuracy")
        if name in last
    )
    return (
        f"`{facts['command']}`: {'; '.join(terms)} (He et al. 2022, arXiv 2111.06377). {training.epochs} epochs, batch "
        f"{training.batch_size}, learning rate {training.learning_rate:g}. At the end: {values or 'not validated'}."
    )


def _plain(spec: BackboneSpec) -> str:
    if spec.name not in _STEMS:
        return ""
    text = _LOADING.format(
        stem=_STEMS[spec.name],
        width=spec.width,
        size=spec.image_size,
        has_class_token=spec.has_class_token,
        pool="token" if spec.pools == "cls" else "avg",
    )
    return f" With timm alone:\n\n{text}"
