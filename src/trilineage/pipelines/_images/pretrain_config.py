"""Every option of the training of an encoder, with the defaults of the one that ships."""

from pydantic import Field

from trilineage.core.config import Settings
from trilineage.data.images.settings import AugmentationSettings, ImageDataSettings
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.training.objectives.masked_patches import MaskedPatchSettings
from trilineage.training.settings import TrainingSettings


class PretrainConfig(Settings):
    """Configuration of `trilineage images pretrain`: images, network, objective, variation, training, seed."""

    data: ImageDataSettings = ImageDataSettings(size=96)
    """The images and how to read them; labels are optional. Where they have an official split, its training images
    train, its validation images validate, and no other is touched."""
    train_sites: tuple[str, ...] = ()
    """Sites whose images train and validate; the others are not touched. Empty: all."""
    valid_fraction: float = Field(default=0.05, ge=0, lt=1)
    """Share of the patients (of the images, where none are known) that validate, if no official split says who."""
    backbone: BackboneSettings = BackboneSettings(name="small_vit", pool="mean")
    """The network: `small_vit`, `cell_vit`, or any vision transformer of timm with a table of positions."""
    objective: MaskedPatchSettings = MaskedPatchSettings()
    """What is hidden and what is learned."""
    augmentation: AugmentationSettings = AugmentationSettings(
        scale=0.3, stain=0.3, stain_shift=0.1, brightness=0.15
    )
    """How images are varied: stain and light further than for a classifier, for an encoder meets other laboratories."""
    training: TrainingSettings = TrainingSettings(
        epochs=8,
        batch_size=64,
        learning_rate=1.2e-3,
        optimizer="adamw",
        weight_decay=0.05,
        schedule="cosine",
        warmup_steps=150,
        clip_norm=1.0,
    )
    """Training of the network; a thousand updates at least are advisable."""
    seed: int = Field(default=0, ge=0)
    """The number every generator is derived from."""
