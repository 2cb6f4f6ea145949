"""Every option of the cases recipe, with the defaults of the tutorial."""

from typing import Literal

from pydantic import Field

from trilineage.core.config import Settings
from trilineage.evaluation.fusion import FLOOR
from trilineage.evaluation.hierarchy.settings import NodeEvaluationSettings
from trilineage.evaluation.settings import EvaluationSettings

LINEAGES = ("rna", "images", "concepts")
"""Who can say something of a patient, in the order of every table."""


class FusionSettings(Settings):
    """How the opinions of the lineages are pooled."""

    prior: Literal["shares", "equal"] = "shares"
    """What is believed of a patient before anything is seen: the class shares of the training patients (half a patient
    added to each class), or the same for every class."""
    floor: float = Field(default=FLOOR, gt=0, lt=0.1)
    """Probability to which smaller ones are raised, so that no lineage can veto a diagnosis on its own."""
    penalty: float = Field(default=1.0, gt=0)
    """How strongly the weights are held at equal shares of one opinion; 1 is about the say of one patient."""
    n_folds: int = Field(default=5, ge=2)
    """Parts of the validation patients: each is fused by weights of the others before sets are calibrated on it."""
    n_resamples: int = Field(default=200, ge=50)
    """Resamples of the validation patients behind the intervals of the weights."""


class Config(Settings):
    """Configuration of `trilineage cases fit`: the Runs to read, the tree they share, fusion, sets, evaluation."""

    rna: str = ""
    """Folder of a finished Run of `rna fit`; empty: no expression."""
    images: str = ""
    """Folder of a finished Run of `images fit`; empty: no images."""
    concepts: str = ""
    """Folder of a finished Run of `concepts fit` whose patients were classified; empty: no concepts."""
    taxonomy: str = "leukemia"
    """The tree of diagnoses, as a file or by the name it ships under; the classes of every lineage are nodes of it."""
    label_map: str = ""
    """Label map of the taxonomy that translates the classes and labels of the Runs; empty: names and synonyms only."""
    fusion: FusionSettings = FusionSettings()
    """How opinions are pooled."""
    coverage: float = Field(default=0.9, gt=0.5, lt=1)
    """Share of patients whose conformal set shall hold the truth."""
    evaluation: EvaluationSettings = EvaluationSettings(
        metrics=("balanced_accuracy", "accuracy", "macro_f1", "brier", "ece"), n_nulls=0
    )
    """Metrics of the classes, their intervals and comparisons."""
    tree: NodeEvaluationSettings = NodeEvaluationSettings(
        metrics=("log_loss", "hierarchical_distance", "clinical_cost")
    )
    """Metrics of the tree, and the rule of decision."""
    seed: int = Field(default=0, ge=0)
    """The number every generator is derived from."""

    def runs(self) -> dict[str, str]:
        """Return the folder of the Run of each lineage that is named."""
        return {name: getattr(self, name) for name in LINEAGES if getattr(self, name)}
