"""Every option of the probes of an encoder."""

from pydantic import Field

from trilineage.core.config import Settings
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.splits import SplitSettings
from trilineage.evaluation.probes import ProbeSettings
from trilineage.evaluation.settings import EvaluationSettings
from trilineage.models.encoder import EncoderSettings


class ProbeConfig(Settings):
    """Configuration of `trilineage images probe`: encoder, images, split, attributes, another data set, probes."""

    encoder: EncoderSettings = EncoderSettings()
    """The frozen network whose features are probed."""
    data: ImageDataSettings = ImageDataSettings(size=96)
    """The labelled images."""
    split: SplitSettings = SplitSettings()
    """How patients are divided. Left as it is, an official split of the data is followed where there is one."""
    train_sites: tuple[str, ...] = ()
    """Sites whose images may train the probe; the images of all others only test. Empty: all."""
    attributes: tuple[str, ...] = ()
    """Columns of the table of images that are probed beside the label; an empty cell is unknown."""
    other: ImageDataSettings | None = None
    """Another data set, all of which tests the probe of the label; left out: none. Its size is that of `data`."""
    other_labels: dict[str, str] = Field(default_factory=dict)
    """Label of `data` by label of the other data set, where they differ in more than capitals."""
    probe: ProbeSettings = ProbeSettings()
    """The linear probe and the nearest neighbours."""
    evaluation: EvaluationSettings = EvaluationSettings(
        metrics=("balanced_accuracy", "accuracy", "macro_f1", "auroc")
    )
    """Metrics and intervals."""
    seed: int = 0
    """The number every generator is derived from."""
