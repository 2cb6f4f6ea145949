"""Options of scores, intervals, comparisons, baselines and nulls."""

from typing import Self

from pydantic import Field, model_validator

from trilineage.core.config import Settings
from trilineage.core.errors import UnknownOptionError
from trilineage.core.registry import nearest_remedy
from trilineage.evaluation.metrics import METRICS


class BaselineSettings(Settings):
    """Options of the simple models that stand beside every score."""

    inverse_penalty: float = Field(default=1.0, gt=0)
    """C of every logistic regression (features are standardised, so that 1 means the same everywhere)."""
    is_class_balanced: bool = True
    """Whether each class has the same total weight in the logistic regressions."""
    pseudocount: float = Field(default=0.5, gt=0)
    """Added to the cells of each type of a patient before the centred log-ratio."""
    n_genes: int = Field(default=2000, ge=1)
    """Genes of highest variance in the training part that pseudobulk and PCA use."""
    n_components: int = Field(default=50, ge=1)
    """Principal components of PCA + logistic regression."""
    max_samples: int = Field(default=20_000, ge=10)
    """Training samples that PCA + logistic regression is fitted on at most, drawn evenly over the patients."""


class EvaluationSettings(Settings):
    """Options of scores and of their intervals over patients."""

    metrics: tuple[str, ...] = tuple(METRICS)
    """Metrics to report, by their names in `trilineage.evaluation.metrics`."""
    n_bootstrap: int = Field(default=1000, ge=100)
    """Resamples of the patients behind each interval."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    """Nominal coverage of the intervals."""
    n_permutations: int = Field(default=1000, ge=99)
    """Swaps of the two models behind the p-value of a comparison."""
    n_nulls: int = Field(default=1, ge=0)
    """Trainings on permuted patient labels; 0 leaves the null out."""
    baselines: BaselineSettings = BaselineSettings()
    """Options of the baselines."""

    @model_validator(mode="after")
    def _refuse_unknown_metrics(self) -> Self:
        for name in self.metrics:
            if name not in METRICS:
                raise UnknownOptionError(
                    f"there is no metric {name!r}",
                    allowed=", ".join(METRICS),
                    remedy=nearest_remedy(name, tuple(METRICS)),
                )
        return self
