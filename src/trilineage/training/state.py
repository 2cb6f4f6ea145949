"""Where a training stands and what it has seen: counters and history, no tensor."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class History:
    """What a training went through."""

    epochs: tuple[dict[str, float], ...]
    """One record per epoch: `epoch` (from 1), `step`, `loss` (mean over the weight of the epoch, while
    learning), `learning_rate`, and what validation returned."""
    n_steps: int
    """Updates done."""
    best_epoch: int | None
    """Epoch whose weights the model has (from 1); None: the last, because nothing was monitored."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return {"epochs": list(self.epochs), "n_steps": self.n_steps, "best_epoch": self.best_epoch}


@dataclass
class TrainingState:
    """Counters of a training; with the tensors, all that a checkpoint needs."""

    epoch: int = 0
    """Epochs finished."""
    step_in_epoch: int = 0
    """Updates done in the epoch that is running."""
    step: int = 0
    """Updates done in all."""
    loss_sum: float = 0.0
    """Sum of the losses of the epoch that is running."""
    weight: float = 0.0
    """What that sum is divided by."""
    records: list[dict[str, float]] = field(default_factory=list)
    """Records of the finished epochs."""
    best_epoch: int | None = None
    """Epoch with the best monitored value so far (from 1)."""
    best_value: float | None = None
    """That value."""
    is_finished: bool = False
    """Whether the model is as training leaves it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return asdict(self)

    def history(self) -> History:
        """Return what the caller of the loop is told."""
        return History(tuple(dict(record) for record in self.records), self.step, self.best_epoch)

    def judge(self, value: float, mode: str) -> bool:
        """Note the monitored value of the epoch just finished and tell whether it is the best; NaN never is."""
        sign = 1.0 if mode == "min" else -1.0
        is_best = value == value if self.best_value is None else sign * value < sign * self.best_value
        if is_best:
            self.best_value, self.best_epoch = value, self.epoch
        return is_best

    def has_stopped_early(self, patience: int) -> bool:
        """Tell whether the last `patience` epochs were no better than one before them."""
        return patience > 0 and self.epoch - (self.best_epoch or 0) >= patience
