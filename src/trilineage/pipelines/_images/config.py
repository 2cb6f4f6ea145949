"""Every option of the images recipe, with the defaults of the tutorial."""

from pydantic import Field, model_validator

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError
from trilineage.data.images.settings import AugmentationSettings, ImageDataSettings
from trilineage.data.splits import SplitSettings
from trilineage.evaluation.hierarchy.settings import NodeEvaluationSettings
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.hierarchy import HierarchySettings
from trilineage.training.objectives.classification import Weighting
from trilineage.training.settings import FineTuningSettings


class DecisionSettings(Settings):
    """What is done to probabilities before and beside the decisions, whose rules are options of the evaluation."""

    calibrate: bool = True
    """Whether temperatures are fitted on the validation patients, one for every parent."""
    coverage: float = Field(default=0.9, gt=0.5, lt=1)
    """Share of patients whose conformal set shall hold the truth."""
    attention: bool = False
    """Whether attention pooling (Ilse et al. 2018) over the features of a patient's images is trained and scored beside
    the other decisions for patients."""


class Config(Settings):
    """Configuration of `trilineage images fit`: images, taxonomy, split, network, head, training, decision, seed."""

    data: ImageDataSettings = ImageDataSettings(size=96)
    """The images and how to read them."""
    taxonomy: str = "leukemia"
    """A TOML file, or one that ships: `leukemia`, `leukemia_apml_under_aml`, `aml_subtypes`, `white_cells`,
    `lymphoid_myeloid`."""
    label_map: str = ""
    """Label map of the taxonomy that translates the labels of this data set; empty: names and synonyms only."""
    leaves: tuple[str, ...] = ()
    """Nodes to restrict the taxonomy to; empty: those that the labels of the data reach."""
    train_sites: tuple[str, ...] = ()
    """Sites whose images may train; the images of all others only test. Empty: all."""
    split: SplitSettings = SplitSettings()
    """How patients are divided; kind `column` without a column follows the official split of the data."""
    check_content: bool = True
    """Whether the same image on both sides of a split stops the run."""
    backbone: BackboneSettings = BackboneSettings(name="auto")
    """The network that looks; unless one is named, the bundled encoder if `frozen`, and else `small_vit`."""
    hierarchy: HierarchySettings = HierarchySettings()
    """The head, its variant and its losses."""
    frozen: bool = False
    """Whether the backbone stays as it is: its features are computed once, and the head is trained in seconds."""
    n_views: int = Field(default=1, ge=1)
    """Augmented looks at each training image whose features are kept (`frozen` only); the first is the plain image."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """How training images are varied."""
    training: FineTuningSettings = FineTuningSettings()
    """Training of the network, or of the head if `frozen`."""
    weighting: Weighting = "class_donor"
    """Sample weights: equal, equal classes, equal patients, or equal patients inside equal classes."""
    decision: DecisionSettings = DecisionSettings()
    """Calibration, coverage and attention."""
    evaluation: NodeEvaluationSettings = NodeEvaluationSettings()
    """Rules of decision, metrics and intervals."""
    seed: int = Field(default=0, ge=0)
    """The number every generator is derived from."""

    @model_validator(mode="after")
    def _refuse_mixing_features(self) -> "Config":
        if self.frozen and self.training.mixup:
            raise ConfigError(
                "mixup blends pixels, and a frozen backbone has seen them already",
                seen=f"training.mixup={self.training.mixup}, frozen=true",
                remedy="set training.mixup=0, or frozen=false",
            )
        return self
