"""The one training loop: a step function in, a history out; it knows no task, no metric and no model.

Exactness: the order of samples, and every random number drawn in a step, are functions of the seed, the epoch and the
step, so a training that was killed at any moment and started again ends with the same bytes on a CPU as one that was
not (same machine, same number of threads). Several processes end within rounding of one. On a GPU torch's own sums may
differ in the last bits from run to run.
"""

import contextlib
import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from trilineage.core.errors import ConfigError, DataError, DivergenceError, Interrupted
from trilineage.core.progress import Meter, progress
from trilineage.models.layers import global_rows
from trilineage.training.averaging import WeightAverage
from trilineage.training.batches import Batches, Describing, Movable, batch_bounds, read_ahead
from trilineage.training.checkpoint import CheckpointStore
from trilineage.training.distributed import Processes, StepModule, join_processes, spread
from trilineage.training.interruption import Interruption, StoppedAtOnce, interruptible
from trilineage.training.optim import Constrained, Updater
from trilineage.training.randomness import preserved_generators, seed_step
from trilineage.training.resuming import Keeper, identity, under_prefix, with_prefix
from trilineage.training.settings import FineTuningSettings, TrainingSettings
from trilineage.training.state import History, TrainingState

_LOOK_EVERY_ON_GPU = 16
"""Steps between looks at the loss on a GPU, which has to wait for each look."""

_N_NAMED = 8
"""Samples of a batch that a message names."""

logger = logging.getLogger(__name__)


class StepOutput(NamedTuple):
    """What a step function returns: the loss of a batch is the sum of `loss_sum` over processes by that of `weight`."""

    loss_sum: Tensor
    """Sum of the losses of this process's share of the batch (no axis); 0 for an empty share."""
    weight: Tensor | float
    """What the sum is divided by: samples, samples times genes, or a sum of weights."""
    shown: Mapping[str, float] = MappingProxyType({})
    """Values shown beside the progress bar."""


Step = Callable[[Any, Any], StepOutput]
"""(model, batch) -> StepOutput. It sends the batch to the device if the batch has no method `to`."""

Validate = Callable[[], Mapping[str, float]]
"""() -> values by name. It sets the model to evaluation itself; what it draws from global generators is undone."""


def train(  # noqa: PLR0913  (a call site reads better with these named than wrapped in a class)
    model: nn.Module,
    step: Step,
    batches: Batches,
    settings: TrainingSettings,
    *,
    seed: int,
    device: torch.device,
    checkpoints_dir: Path | None = None,
    fingerprint: str = "",
    validate: Validate | None = None,
    name: str = "training",
) -> History:
    """Train a model in place and return what happened; go on from the newest sound checkpoint if there is one.

    The model ends on `device`, in evaluation mode, with its best weights if `settings.patience` is set and with its
    last ones otherwise. A training that was finished before returns at once with the same weights and history. The
    global random generators are left as they were found.

    Parameters
    ----------
    model
        Starts from the weights it has; those of a checkpoint replace them.
    step
        Loss of the model on a batch; the only code that knows the task.
    batches
        Training samples.
    settings
        How long, how fast, how carefully.
    seed
        Decides the order of the samples and all noise.
    device
        Where to compute.
    checkpoints_dir
        Folder for checkpoints; None keeps none.
    fingerprint
        Digest of data and configuration, kept in checkpoints: those of another are refused.
    validate
        Called after every epoch, on the first process only; its values go into the history and may be monitored.
    name
        Name of this training in messages and file names.

    Raises
    ------
    Interrupted
        After SIGTERM or Ctrl-C: the step was finished and a checkpoint written.
    DivergenceError
        If the loss or a weight is not finite; checkpoints hold the last finite weights.
    ArtifactError
        If the checkpoints belong to other data or options.
    StorageError
        If a checkpoint cannot be written; older ones are intact.
    ConfigError
        If the monitored value is not there.
    """
    if len(batches) == 0:
        raise DataError(
            f"there is no sample to train {name} on", remedy="check the training part of the split"
        )
    processes = join_processes(device)
    model.to(device)
    me = identity(model, settings, name=name, seed=seed, n_samples=len(batches), fingerprint=fingerprint)
    store = None if checkpoints_dir is None else CheckpointStore(checkpoints_dir, name, keep=settings.keep)
    keeper = Keeper(store, me, processes, every_s=settings.checkpoint_every_s)
    plan = _Plan(model, step, batches, settings, seed, device, validate, name)
    with preserved_generators(), interruptible() as interruption:
        return _Training(plan, processes, keeper, interruption).run()


@dataclass(frozen=True)
class _Plan:
    """What the caller asked for; see `train`."""

    model: nn.Module
    step: Step
    batches: Batches
    settings: TrainingSettings
    seed: int
    device: torch.device
    validate: Validate | None
    name: str


class _Training:
    """A training under way: where it stands, and everything that changes as it goes on."""

    def __init__(self, plan: _Plan, processes: Processes, keeper: Keeper, interruption: Interruption):
        self.plan, self.processes, self.keeper, self.interruption = plan, processes, keeper, interruption
        settings = plan.settings
        self.bounds = batch_bounds(len(plan.batches), settings.batch_size)
        n_steps = settings.epochs * len(self.bounds)
        self.updater = Updater(plan.model, settings, device=plan.device, n_steps=n_steps)
        self.state = TrainingState()
        self.average = _average(plan.model, settings)
        self.best: dict[str, Tensor] = {}
        self.unseen: list[Tensor] = []  # sums of the last steps, see `_sums`, not looked at yet
        self.n_seen = 0  # steps whose loss was looked at
        self.module: nn.Module = StepModule(plan.model, plan.step)
        self.is_stop_seen = False  # whether a process was asked to stop, as of the last look
        self.must_stop = False  # the same, as of a step at which every process looks

    def run(self) -> History:
        """Go on from where the checkpoint stands to the end."""
        self._resume()
        if not self.state.is_finished:
            self.module = spread(self.module, self.processes, self.plan.device)
            with self._meter() as meter:
                while not self._is_over():
                    self._run_epoch(meter)
            self._finish()
        self.processes.wait()
        self.plan.model.eval()
        return self.state.history()

    def _is_over(self) -> bool:
        settings = self.plan.settings
        return self.state.epoch >= settings.epochs or self.state.has_stopped_early(settings.patience)

    def _run_epoch(self, meter: Meter) -> None:
        """Learn from what is left of an epoch, then validate, judge and note it."""
        plan, state = self.plan, self.state
        order = plan.batches.order(seed=plan.seed, epoch=state.epoch)
        if len(order) != len(plan.batches):
            raise DataError(
                "an epoch has another length than its batches", seen=len(order), allowed=len(plan.batches)
            )
        bounds = self.bounds[state.step_in_epoch :]
        rank, world = self.processes.rank, self.processes.world
        shares = [order[start:stop][rank::world] for start, stop in bounds]
        in_thread = {"auto": plan.device.type == "cuda", "yes": True, "no": False}[plan.settings.prefetch]
        plan.model.train()
        with contextlib.closing(read_ahead(plan.batches.take, shares, in_thread=in_thread)) as loaded:
            for (start, stop), batch in zip(bounds, loaded, strict=True):
                shown = self._run_step(batch, n_rows=stop - start)
                meter.advance(stop - start, **shown)
                self._pause()
        self._end_epoch(meter)
        self._pause()

    def _run_step(self, batch: Any, *, n_rows: int) -> dict[str, float]:
        """Learn from one batch and return what there is to show."""
        plan, state, processes = self.plan, self.state, self.processes
        seed_step(plan.seed, state.step)
        batch = batch.to(plan.device) if isinstance(batch, Movable) else batch
        with global_rows(n_rows, processes.rank, processes.world), self.updater.autocast():
            output: StepOutput = self.module(batch)
        sums = processes.total(self._sums(output))
        self.unseen.append(sums)
        shown = dict(output.shown)
        if plan.device.type == "cpu" or (state.step + 1) % _LOOK_EVERY_ON_GPU == 0:
            shown["loss"] = self._look()
            self.must_stop = self.is_stop_seen
        if processes.world == 1:
            self.must_stop = self.interruption.is_requested
        # DDP averages gradients over processes; the loss of the batch is a sum over them.
        divisor = sums[1].where(sums[1] > 0, torch.inf).to(output.loss_sum.dtype)
        share = output.loss_sum * processes.world / divisor
        self.updater.update(share, state.step)
        if isinstance(plan.model, Constrained):
            plan.model.constrain_()
        state.step += 1
        if self.average is not None:
            self.average.update(state.step)
        state.step_in_epoch += 1
        return shown

    @torch.no_grad()
    def _sums(self, output: StepOutput) -> Float64[Tensor, " 3"]:
        """Return this process's loss sum, its weight, and whether it was asked to stop, to be added over processes."""
        device = self.plan.device
        sums = torch.full((3,), float(self.interruption.is_requested), dtype=torch.float64, device=device)
        sums[0] = output.loss_sum
        sums[1] = output.weight
        return sums

    def _look(self) -> float:
        """Count the steps that were not looked at yet into the epoch, check them, and return the newest loss."""
        loss = 0.0
        for loss_sum, weight, n_stopping in torch.stack(self.unseen).tolist():
            self.n_seen += 1
            self.state.loss_sum += loss_sum
            self.state.weight += weight
            self.is_stop_seen |= n_stopping > 0
            loss = loss_sum / weight if weight else 0.0
            if not math.isfinite(loss) or not math.isfinite(weight):
                self._diverged(f"the loss of {self.plan.name}", step=self.n_seen, seen=loss)
        self.unseen.clear()
        return loss

    def _diverged(self, what: str, *, step: int, seen: object) -> NoReturn:
        rate = self.updater.learning_rate(step - 1)
        kept = self.keeper.kept_step
        last = "no checkpoint was written" if kept is None else f"the last checkpoint (step {kept}) is intact"
        raise DivergenceError(
            f"{what} is not finite in step {step} with learning rate {rate:.3g}; {last}",
            seen=f"{seen} after {self._batch_of(step)}",
            remedy="lower learning_rate, set clip_norm=1 or precision=float32, and look for NaN in the data",
        )

    def _batch_of(self, step: int) -> str:
        """Name the samples of a step (from 1): their order is a function of seed and epoch."""
        epoch, number = divmod(step - 1, len(self.bounds))
        start, stop = self.bounds[number]
        positions = self.plan.batches.order(seed=self.plan.seed, epoch=epoch)[start:stop]
        batches = self.plan.batches
        named = positions[:_N_NAMED]
        names = batches.describe(named) if isinstance(batches, Describing) else [str(p) for p in named]
        n_more = len(positions) - len(names)
        more = f" and {n_more} more" if n_more else ""
        return f"batch {number + 1} of epoch {epoch + 1} (samples {', '.join(names)}{more})"

    def _pause(self) -> None:
        """Stop here if that was asked for, or write a checkpoint if it is time."""
        if self.must_stop:
            self._stop()
        if self.keeper.is_due():
            self._save()

    def _stop(self) -> NoReturn:
        """Write a checkpoint and leave; every process comes here after the same step."""
        self._save()
        self.processes.wait()
        kept = "a checkpoint was written" if self.keeper.store else "nothing was kept"
        raise Interrupted(
            f"{self.plan.name} was stopped after {self.state.step} of at most {self.updater.n_steps} steps; {kept}",
            seen=self.interruption.signal_name,
            remedy="run the same command again to go on",
        )

    def _end_epoch(self, meter: Meter) -> None:
        """Validate, note the epoch, remember its weights if they are the best."""
        state, settings = self.state, self.plan.settings
        if self.unseen:
            self._look()
        self.must_stop |= self.is_stop_seen
        values = self._validate()
        loss = state.loss_sum / state.weight if state.weight else 0.0
        record = {"epoch": state.epoch + 1, "step": state.step, "loss": loss}
        record["learning_rate"] = self.updater.learning_rate(state.step - 1)
        record |= values
        state.records.append(record)
        state.epoch += 1
        state.step_in_epoch = 0
        state.loss_sum = state.weight = 0.0
        if settings.patience and state.judge(self._monitored(record), settings.monitor_mode):
            weights = self.plan.model.state_dict() if self.average is None else self.average.tensors
            self.best = {name: tensor.detach().clone() for name, tensor in weights.items()}
        meter.advance(0, epoch=state.epoch, **values)
        logger.debug("%s: %s", self.plan.name, record)

    def _monitored(self, record: Mapping[str, float]) -> float:
        settings = self.plan.settings
        if settings.monitor not in record:
            raise ConfigError(
                f"{self.plan.name} has no value to monitor",
                seen=f"monitor={settings.monitor}",
                allowed=", ".join(name for name in record if name not in ("epoch", "step", "learning_rate")),
                remedy="set monitor to one of these, or patience=0",
            )
        return record[settings.monitor]

    def _validate(self) -> dict[str, float]:
        """Return validation values, computed by the main process; a signal stops it at once, before it counts."""
        if self.plan.validate is None:
            return {}
        answer: bytes | None = None
        if self.processes.is_main:
            average = contextlib.nullcontext() if self.average is None else self.average.lent()
            try:
                with preserved_generators(), average, self.interruption.at_once():
                    values = self.plan.validate()
                answer = json.dumps({name: float(value) for name, value in values.items()}).encode()
            except StoppedAtOnce:
                answer = b"null"
        told: dict[str, float] | None = json.loads(self.processes.tell_all(answer))
        if told is None:
            self._stop()
        return told

    def _finish(self) -> None:
        """Bring back the best weights and write the last checkpoint, which needs no more than they."""
        final = self.best or (self.average.tensors if self.average else {})
        if final:
            self.plan.model.load_state_dict(final)
        self.best = {}
        self.updater.optimizer.zero_grad(set_to_none=True)
        self.state.is_finished = True
        self._save()

    def _save(self) -> None:
        """Write everything down; only finite weights are ever written."""
        if self.unseen:
            self._look()
        if self.keeper.store is None or not self.processes.is_main:
            return
        weights = self.plan.model.state_dict()
        for name, tensor in weights.items():
            if not torch.isfinite(tensor).all():
                self._diverged(
                    f"weight {name} of {self.plan.name}", step=self.state.step, seen="NaN or infinity"
                )
        tensors = with_prefix("model", weights)
        if not self.state.is_finished:
            tensors |= with_prefix("best", self.best) | with_prefix("optimizer", self.updater.tensors())
            tensors |= with_prefix("average", self.average.tensors if self.average else {})
        self.keeper.save(self.state, tensors, scaler=self.updater.scaler.state_dict())

    def _resume(self) -> None:
        """Take over the newest sound checkpoint, if there is one."""
        found = self.keeper.load()
        if found is None:
            return
        self.state = found.state
        self.n_seen = self.state.step
        self.plan.model.load_state_dict(under_prefix("model", found.tensors))
        if self.state.is_finished:
            logger.info("%s: finished before", self.plan.name)
            return
        logger.info("%s: going on after step %d", self.plan.name, self.state.step)
        device = self.plan.device
        self.best = {name: t.to(device) for name, t in under_prefix("best", found.tensors).items()}
        self.updater.restore(under_prefix("optimizer", found.tensors), found.scaler)
        if self.average is not None:
            self.average.restore(under_prefix("average", found.tensors))

    def _meter(self) -> contextlib.AbstractContextManager[Meter]:
        """Follow the samples that are still to come; only the main process shows them."""
        left = self.plan.settings.epochs - self.state.epoch
        behind = self.bounds[self.state.step_in_epoch - 1][1] if self.state.step_in_epoch else 0
        total = left * len(self.plan.batches) - behind
        if self.processes.is_main:
            return progress(self.plan.name, total, "samples")
        return contextlib.nullcontext(Meter(self.plan.name, total, "samples", show=lambda meter: None))


def _average(model: nn.Module, settings: TrainingSettings) -> WeightAverage | None:
    """Return the average of the weights if the settings ask for one."""
    if isinstance(settings, FineTuningSettings) and settings.average_decay:
        return WeightAverage(model, settings.average_decay)
    return None
