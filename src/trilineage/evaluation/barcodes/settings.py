"""Options of subtype classifiers on barcodes and of the tests for disease-specific concepts."""

from typing import Literal

from pydantic import Field

from trilineage.core.config import Settings

SUBTYPE_METRICS = ("weighted_f1", "balanced_accuracy", "macro_f1", "auroc")
"""What subtype classifiers are scored and compared by; AUROC per class comes on top."""


class SubtypeSettings(Settings):
    """How subtypes are told from barcodes: folds over patients, penalties tried, class weights."""

    n_folds: int = Field(default=5, ge=2)
    """Parts of the cross-validation over patients; every patient is tested once in each repeat."""
    n_repeats: int = Field(default=5, ge=1)
    """Cross-validations with other folds; a patient's scores are those of all of them."""
    n_inner_folds: int = Field(default=4, ge=2)
    """Parts into which the training patients of a fold are divided to choose the penalty."""
    inverse_penalties: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
    """Values of C tried, from strong to weak. Standardised features are divided by the root of their number, so that
    one C means the same for 768 features and for 49,152."""
    is_class_balanced: bool = True
    """Whether every class has the same total weight in the regression."""
    weighting: Literal["mean", "log1p", "tf-idf"] = "log1p"
    """What is done to barcodes before they are standardised; other features (CLS, tokens) are taken as they are."""


class DiseaseSettings(Settings):
    """How concepts specific to a disease are tested."""

    n_permutations: int = Field(default=1000, ge=99)
    """Exchanges of the patients' labels behind the p-values."""
    min_patients: int = Field(default=3, ge=1)
    """Patients in which a latent must be active to be tested."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """False discovery rate at which a concept counts as specific."""
    n_bootstrap: int = Field(default=1000, ge=100)
    """Resamples of the patients behind the intervals of effects."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    """Nominal coverage of the intervals."""
