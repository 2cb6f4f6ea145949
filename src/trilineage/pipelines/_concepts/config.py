"""Every option of the concepts recipe, with the defaults of the tutorial."""

from typing import Literal

from pydantic import Field

from trilineage.core.config import Settings
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.splits import SplitSettings
from trilineage.data.tokens.settings import TokenSettings
from trilineage.evaluation.barcodes.settings import SUBTYPE_METRICS, DiseaseSettings, SubtypeSettings
from trilineage.evaluation.settings import EvaluationSettings
from trilineage.models.encoder import EncoderSettings
from trilineage.models.sae.settings import SaeSettings, learning_rate_for
from trilineage.training.settings import TrainingSettings


class SaeTrainingSettings(TrainingSettings):
    """The same for an autoencoder, whose samples are tokens."""

    epochs: int = Field(default=10, ge=1)
    """Passes over the training tokens, at most."""
    batch_size: int = Field(default=4096, ge=1)
    """Tokens per update, over all processes together."""
    learning_rate: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Largest learning rate; 0: by the number of latents, 2e-4 at 16,384 and falling with its square root."""
    schedule: Literal["constant", "cosine", "linear"] = "linear"
    """Course of the learning rate after the warm-up: constant, or falling to 0 at the last update."""
    warmup_steps: int = Field(default=500, ge=0)
    """Updates over which the learning rate rises linearly from near 0; at most a tenth of all."""

    def for_latents(self, n_latents: int, n_tokens: int) -> "SaeTrainingSettings":
        """Return the options with the learning rate of this many latents and a warm-up that fits the tokens."""
        n_steps = self.epochs * -(-n_tokens // self.batch_size)
        rate = self.learning_rate or learning_rate_for(n_latents)
        return self.replace(learning_rate=rate, warmup_steps=min(self.warmup_steps, n_steps // 10))


class ConceptSettings(Settings):
    """What is found out about each latent, and when it is called a concept."""

    n_references: int = Field(default=16, ge=2, le=64)
    """Images kept to show a latent, those with the largest mean activation."""
    per_patient: int = Field(default=2, ge=1)
    """Most of them of one patient; where no patients are known each image is its own."""
    per_class: int = Field(default=16, ge=1)
    """Most of them of one class."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """False discovery rate of the association with classes and attributes, over all latents and targets."""
    min_positive: int = Field(default=5, ge=2)
    """Fewest training images with, and without, an attribute for it to be tested."""
    least_auroc: float = Field(default=0.7, ge=0.5, le=1)
    """A latent is a concept if it is strong and its association with a class or an attribute is significant and at
    least this large on training images."""
    controls: tuple[Literal["neurons", "components", "random"], ...] = ("neurons", "components", "random")
    """What stands beside the autoencoder in every figure: raw neurons, principal components, a random dictionary."""


class BarcodeSettings(Settings):
    """How a patient becomes a barcode of concepts."""

    tau: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    """A latent counts in a token where its activation exceeds this (CytoSAE: 0.2)."""
    with_cls: bool = True
    """Whether the class token counts beside the patches."""
    classify: bool = True
    """Whether patients are classified by their barcodes, where patients are known and carry one label each."""


class Config(Settings):
    """Configuration of `trilineage concepts fit`: images, split, encoder, tokens, autoencoder, concepts, barcodes."""

    data: ImageDataSettings = ImageDataSettings(size=96)
    """The images and how to read them."""
    taxonomy: str = ""
    """A taxonomy, as a file or by the name it ships under, for the spread of a concept over lineages; empty: labels
    are only names."""
    attributes: tuple[str, ...] = ()
    """Columns of the table of images that hold what experts see in each (granularity, nucleus shape), tested against
    every latent beside the classes; an empty cell is unknown."""
    train_sites: tuple[str, ...] = ()
    """Sites whose images may train; the images of all others only test. Empty: all."""
    second_reader: str = ""
    """CSV of a second expert's attributes for some of the images (a column of image names and the same attribute
    columns): how far two people agree is the ceiling of every association. Empty: none."""
    split: SplitSettings = SplitSettings()
    """How patients are divided, once; kind `column` without a column follows the official split of the data."""
    check_content: bool = True
    """Whether the same image on both sides of the split stops the run."""
    encoder: EncoderSettings = EncoderSettings()
    """The frozen network whose tokens are explained."""
    judge: EncoderSettings | None = None
    """Another network, by whose features the reference images of a concept are compared (monosemanticity); left out:
    colours and textures of the images."""
    tokens: TokenSettings = TokenSettings()
    """How tokens are kept and shuffled."""
    sae: SaeSettings = SaeSettings(expansion=16)
    """The autoencoder."""
    weights: str = ""
    """An autoencoder to use as it is instead of training one: what `trilineage concepts import` wrote, or a file or
    folder of CytoSAE, SAELens, sparsify or dictionary_learning."""
    n_seeds: int = Field(default=2, ge=1, le=16)
    """Autoencoders trained side by side from different seeds; the first is kept, the others tell which of its latents
    come back."""
    training: SaeTrainingSettings = SaeTrainingSettings()
    """Training of the autoencoders."""
    concepts: ConceptSettings = ConceptSettings()
    """What is found out about each latent."""
    barcode: BarcodeSettings = BarcodeSettings()
    """How patients become barcodes."""
    subtype: SubtypeSettings = SubtypeSettings()
    """How patients are classified by their barcodes."""
    disease: DiseaseSettings = DiseaseSettings()
    """How concepts that mark a disease are tested."""
    evaluation: EvaluationSettings = EvaluationSettings(metrics=SUBTYPE_METRICS, n_nulls=0)
    """Metrics of the subtype classifier and intervals."""
    seed: int = Field(default=0, ge=0)
    """The number every generator is derived from."""
