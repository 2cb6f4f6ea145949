"""Names of the weights in a Run: those of each split, and those that predict."""

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError

FINAL = "final"
"""Name of the weights that were fitted on everyone, after a cross-validation."""


def fold_name(number: int) -> str:
    """Return the name of the weights of one split."""
    return f"fold{number}"


def prediction_weights(run: Run) -> str:
    """Return the name of the weights that predict; raises ArtifactError where the Run is unfinished."""
    if not run.is_complete:
        raise ArtifactError(
            f"{run.path} is not finished",
            seen=run.manifest["status"],
            remedy="run the same fit again: it goes on",
        )
    return FINAL if run.has(f"weights/{FINAL}.safetensors") else fold_name(0)
