"""Every option of the training loop; the same for all lineages."""

from typing import Any, Literal

from pydantic import Field, model_validator

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError

_NEUTRAL = frozenset({"checkpoint_every_s", "keep", "prefetch"})
"""Options that change when and where things are written or read, never a result."""


class TrainingSettings(Settings):
    """How long, how fast and how carefully to train."""

    epochs: int = Field(default=20, ge=1)
    """Passes over the training samples, at most."""
    batch_size: int = Field(default=2048, ge=1)
    """Samples per update, over all processes together. A last batch of one sample joins the batch before it."""
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    """Largest learning rate of the schedule."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """`adam` (Kingma and Ba 2015) or `adamw` (Loshchilov and Hutter 2019), fused where the device has it."""
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Decay of weight matrices; biases, norms and other parameters with one axis are never decayed."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """Course of the learning rate after the warm-up: constant, or falling to 0 at the last update."""
    warmup_steps: int = Field(default=0, ge=0)
    """Updates over which the learning rate rises linearly from near 0."""
    clip_norm: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Largest norm of the gradient over all parameters; 0 does not clip."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of the forward pass. `auto`: float32 on a CPU; on a GPU bfloat16 where it has it,
    else float16 with loss scaling."""
    patience: int = Field(default=0, ge=0)
    """Epochs without a better `monitor` after which training stops and the best weights come back; 0 trains all
    epochs and keeps the last weights."""
    monitor: str = "valid_loss"
    """Value that is watched: one that validation returns, or `loss`, the training loss."""
    monitor_mode: Literal["min", "max"] = "min"
    """Whether lower or higher values of `monitor` are better."""
    checkpoint_every_s: float = Field(default=300.0, ge=0)
    """Seconds between checkpoints, looked at after every update; 0 writes one after every update."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints that are kept."""
    prefetch: Literal["auto", "yes", "no"] = "auto"
    """Read the next batch in a thread while this one is learned from. `auto`: on a GPU; on a CPU the thread would
    take the processor from the model."""

    @model_validator(mode="after")
    def _require_a_monitor(self) -> "TrainingSettings":
        if self.patience and not self.monitor:
            raise ConfigError(
                "early stopping needs a value to watch",
                seen="monitor is empty",
                allowed="`loss`, or a value that validation returns",
                remedy="name one, or set patience=0",
            )
        return self

    def options_that_matter(self) -> dict[str, Any]:
        """Return the options that a result depends on."""
        return {name: value for name, value in self.to_dict().items() if name not in _NEUTRAL}


class FineTuningSettings(TrainingSettings):
    """The same for a network of a backbone and heads, which may learn at different rates."""

    epochs: int = Field(default=30, ge=1)
    """Passes over the training images, at most."""
    batch_size: int = Field(default=64, ge=1)
    """Images per update, over all processes together."""
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    """Largest learning rate of the heads; that of the backbone is `backbone_lr_scale` times this."""
    optimizer: Literal["adam", "adamw"] = "adamw"
    """`adam` (Kingma and Ba 2015) or `adamw` (Loshchilov and Hutter 2019), fused where the device has it."""
    weight_decay: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    """Decay of weight matrices; biases, norms, tokens and positions are never decayed."""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """Course of the learning rate after the warm-up: constant, or falling to 0 at the last update."""
    clip_norm: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Largest norm of the gradient over all parameters; 0 does not clip."""
    backbone_lr_scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Learning rate of the backbone relative to that of the heads; 0.01 to 0.1 for pretrained weights."""
    layer_decay: float = Field(default=1.0, gt=0, le=1.0)
    """Learning rate of a block of the backbone relative to that of the next one; 0.65 to 0.8 for pretrained
    transformers."""
    average_decay: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Decay of the exponential moving average of the weights, such as 0.999; validation and the final model then use
    the average. 0 keeps none."""
    mixup: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Alpha of the Beta distribution by which pairs of images are mixed (Zhang et al. 2018); 0 mixes none."""
