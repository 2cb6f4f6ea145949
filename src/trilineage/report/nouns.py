"""What one observation of a Run is called, and what intervals are over."""

from dataclasses import dataclass

from trilineage.core.artifacts import Run


@dataclass(frozen=True)
class Nouns:
    """Names of the two units of a Run."""

    sample: str = "sample"
    """One observation: a cell or bulk sample, an image."""
    patient: str = "patient"
    """Who it comes from; where patients are not known, the observation itself."""

    def of(self, unit: str) -> str:
        """Return the noun of a unit of `Score`."""
        return self.patient if unit == "patient" else self.sample

    @property
    def knows_patients(self) -> bool:
        """Whether observations are grouped by patient."""
        return self.sample != self.patient


SAMPLES = Nouns()
"""Where nothing else is said."""


def nouns_of(run: Run) -> Nouns:
    """Return the nouns of a Run: images and, where known, patients; of cases patients; else samples and patients."""
    if run.kind == "cases":
        return Nouns("patient", "patient")
    if not run.kind.startswith("images") and run.kind != "concepts":
        return SAMPLES
    if run.has("cohort.json"):
        has_patients = bool(run.read_json("cohort.json").get("has_patients", True))
    else:
        scores = run.scores()
        has_patients = not scores or any(score.n_samples != score.n_patients for score in scores)
    return Nouns("image", "patient" if has_patients else "image")
