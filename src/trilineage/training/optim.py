"""What turns a loss into new weights: Adam, the course of the learning rate, precision, clipping."""

import contextlib
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from trilineage.core.errors import ConfigError
from trilineage.training.settings import FineTuningSettings, TrainingSettings

_FUSED_DEVICES = ("cpu", "cuda")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class RateGroup(NamedTuple):
    """Parameters that learn at one rate."""

    scale: float
    """What multiplies the learning rate of the schedule."""
    is_decayed: bool
    """Whether they are decayed."""
    parameters: list[nn.Parameter]
    """The parameters."""


@runtime_checkable
class Grouped(Protocol):
    """A model whose parts learn at different rates."""

    def rate_groups(
        self, *, backbone_scale: float, layer_decay: float
    ) -> list[tuple[float, bool, list[nn.Parameter]]]:
        """Return scale, whether it is decayed, and the parameters, of every group that is trained."""
        ...


@runtime_checkable
class Bundled(Protocol):
    """Models that learn side by side, each at a rate of its own."""

    def rate_scales(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Return what multiplies the learning rate of each model, and its parameters."""
        ...


@runtime_checkable
class Constrained(Protocol):
    """A model whose weights must stay somewhere, such as on the unit sphere."""

    def constrain_(self) -> None:
        """Bring the weights back; called after every update."""
        ...


def rate_groups(model: nn.Module, settings: TrainingSettings) -> list[RateGroup]:
    """Return the trained parameters of a model by rate and decay.

    Rates differ for a model that has `rate_scales`, and for one that has `rate_groups` under `FineTuningSettings`.
    """
    if isinstance(model, Bundled):
        scaled = [
            (scale, by_axes([p for p in parameters if p.requires_grad]))
            for scale, parameters in model.rate_scales()
        ]
        return [group._replace(scale=scale) for scale, groups in scaled for group in groups]
    if isinstance(settings, FineTuningSettings) and isinstance(model, Grouped):
        groups = model.rate_groups(
            backbone_scale=settings.backbone_lr_scale, layer_decay=settings.layer_decay
        )
        return [RateGroup(*group) for group in groups]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return by_axes(trained)


def by_axes(trained: list[nn.Parameter]) -> list[RateGroup]:
    """Divide parameters into those that are decayed and those with one axis (biases, norms, dispersions)."""
    return [
        RateGroup(1.0, True, [p for p in trained if p.ndim >= 2]),
        RateGroup(1.0, False, [p for p in trained if p.ndim < 2]),
    ]


def build_optimizer(
    parameters: Iterable[nn.Parameter] | Sequence[RateGroup], settings: TrainingSettings
) -> torch.optim.Adam:
    """Return Adam or AdamW over groups of parameters, or over the parameters that require a gradient.

    Raises
    ------
    ConfigError
        If nothing requires a gradient.
    """
    given = list(parameters)
    groups = [group for group in given if isinstance(group, RateGroup)]
    groups = groups or by_axes([p for p in given if isinstance(p, nn.Parameter) and p.requires_grad])
    trained = [parameter for group in groups for parameter in group.parameters]
    if not trained:
        raise ConfigError("the model has no parameter to train", remedy="unfreeze a part of it")
    options = [
        {
            "params": group.parameters,
            "weight_decay": settings.weight_decay if group.is_decayed else 0.0,
            "lr_scale": group.scale,
        }
        for group in groups
        if group.parameters
    ]
    make = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    is_fused = all(p.device.type in _FUSED_DEVICES and p.is_floating_point() for p in trained)
    return make(options, lr=settings.learning_rate, fused=is_fused)


def learning_rate_at(step: int, n_steps: int, settings: TrainingSettings) -> float:
    """Return the learning rate of an update.

    Parameters
    ----------
    step
        Updates done before this one, in [0, n_steps).
    n_steps
        Updates in all.

    Examples
    --------
    >>> settings = TrainingSettings(learning_rate=1.0, schedule="linear", warmup_steps=2)
    >>> [learning_rate_at(step, 6, settings) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, n_steps - settings.warmup_steps)
    match settings.schedule:
        case "cosine":
            return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))
        case "linear":
            return settings.learning_rate * (1.0 - done)
        case _:
            return settings.learning_rate


class Updater:
    """An optimiser together with its schedule, precision and clipping.

    Parameters
    ----------
    model
        Its parameters are updated in place; it is on `device` already.
    settings
        Options of the loop.
    device
        Where the model is.
    n_steps
        Updates in all, for the schedule.
    """

    def __init__(self, model: nn.Module, settings: TrainingSettings, *, device: torch.device, n_steps: int):
        self.settings, self.device, self.n_steps = settings, device, n_steps
        self.dtype = choose_precision(settings.precision, device)
        self.optimizer = build_optimizer(rate_groups(model, settings), settings)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """Return the context in which the forward pass runs."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step of this training."""
        return learning_rate_at(step, self.n_steps, self.settings)

    def update(self, loss: Tensor, step: int) -> None:
        """Take the gradient of a loss and move the weights once."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step) * group["lr_scale"]
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.settings.clip_norm:
            self.scaler.unscale_(self.optimizer)
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(trained, self.settings.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def tensors(self) -> dict[str, Tensor]:
        """Return the moments of every parameter that has been updated, by its number and their name."""
        state = self.optimizer.state_dict()["state"]
        return {f"{number}/{key}": value for number, row in state.items() for key, value in row.items()}

    def restore(self, tensors: dict[str, Tensor], scaler: dict[str, float]) -> None:
        """Take back what `tensors` and `scaler.state_dict` gave; the next update is the same to the last bit."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            number, key = name.split("/")
            state.setdefault(int(number), {})[key] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        if self.scaler.is_enabled() and scaler:
            self.scaler.load_state_dict(scaler)


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Resolve `auto` for a device.

    Raises
    ------
    ConfigError
        For a precision that the device does not compute in.
    """
    is_gpu = device.type == "cuda"
    has_bfloat16 = is_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        return torch.float32 if not is_gpu else torch.bfloat16 if has_bfloat16 else torch.float16
    if (precision == "float16" and not is_gpu) or (precision == "bfloat16" and is_gpu and not has_bfloat16):
        raise ConfigError(
            f"this device does not train in {precision}",
            seen=f"device {device}",
            allowed="auto, float32" + (", float16" if is_gpu else ", bfloat16"),
            remedy="set precision=auto",
        )
    return _DTYPES[precision]
