"""Every option of the rna recipe, with the defaults of the tutorial."""

from typing import Literal

from pydantic import Field, model_validator

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError
from trilineage.data.expression.open import ExpressionSettings
from trilineage.data.splits import SplitSettings
from trilineage.evaluation.settings import EvaluationSettings
from trilineage.training.diagnosis import DiagnoserSettings


class PopulationSettings(Settings):
    """Which cells are learned from and which are scored."""

    train: tuple[str, ...] = ("progenitors",)
    """Populations the autoencoder and the classifier learn from: a group (progenitors, monocyte, lymphocyte), a cell
    type of the file, or `all`. Without cell types in the file, all samples."""
    test: tuple[str, ...] = ()
    """Populations the held-out patients are scored on; empty means the training populations."""


class SelectionSettings(Settings):
    """Options chosen by cross-validation inside the training part, never on test patients."""

    options: tuple[str, ...] = ()
    """Alternatives to choose from, such as `"classifier.dropout=0.0,0.1,0.3"`; several make a grid. Empty: nothing is
    chosen."""
    n_folds: int = Field(default=3, ge=2)
    """Patient-grouped folds inside the training part."""
    metric: Literal["balanced_accuracy", "accuracy", "macro_f1", "mcc"] = "balanced_accuracy"
    """Metric of the inner folds that decides."""


class Config(DiagnoserSettings):
    """Configuration of `trilineage rna fit`: data, population, split, model, evaluation, seed."""

    data: ExpressionSettings = ExpressionSettings()
    """The expression file and how to read it."""
    population: PopulationSettings = PopulationSettings()
    """Cells to learn from and to score."""
    split: SplitSettings = SplitSettings()
    """How patients are divided."""
    task: Literal["multiclass", "binary"] = "multiclass"
    """`multiclass`: one class per label, softmax; `binary`: `healthy_label` against everything else, sigmoid."""
    healthy_label: str = "healthy"
    """Label of people without disease: the negative class of the binary task and the reference of attributions."""
    keep: tuple[str, ...] = ()
    """Samples to keep, by a column and its values: `study=GSE227832`, `gex_split=design|held-out`. Several must all
    hold."""
    classes: tuple[str, ...] = ()
    """Labels to keep; empty keeps all. Samples of other labels are left out and counted."""
    min_patients: int = Field(default=0, ge=0)
    """Leave out (and name) classes with fewer patients than this; 0 leaves none out, and a class too small to split is
    refused."""
    check_content: bool = True
    """Whether the same measurement under two sample names, on both sides of a split, stops the run."""
    selection: SelectionSettings = SelectionSettings()
    """Choice of options inside the training part."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """Metrics, intervals and null."""
    seed: int = Field(default=0, ge=0)
    """The number every generator is derived from."""

    @model_validator(mode="after")
    def _require_healthy_class(self) -> "Config":
        if self.task == "binary" and self.classes and self.healthy_label not in self.classes:
            raise ConfigError(
                "the binary task needs its healthy class among `classes`",
                seen=", ".join(self.classes),
                allowed=f"a list with {self.healthy_label!r}, or an empty list",
                remedy="add it to `classes` or set `healthy_label`",
            )
        return self
