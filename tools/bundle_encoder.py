"""Put the encoder of a pretraining Run into the package: `python tools/bundle_encoder.py RUN DATA_NAME`.

What ships is the Run without its table of images, and with the name of the data set in place of its path.
"""

import sys
from pathlib import Path

from trilineage.core.artifacts import Run
from trilineage.models.backbones.bundled import ENCODER_KIND
from trilineage.pipelines.images import PretrainConfig

TARGET = Path(__file__).parents[1] / "src/trilineage/models/bundled_encoder"
KEPT = ("weights/model.safetensors", "learned.npz", "history.json", "model_card.md")


def bundle(source: Path, data_name: str, target: Path = TARGET) -> Run:
    """Copy what ships of a Run to the package and return it there."""
    made = Run.open(source, kind=ENCODER_KIND)
    config = made.config(PretrainConfig)
    config = config.replace(data=config.data.replace(path=data_name, cache_dir=None))
    facts = {**made.manifest["data"], "path": data_name}
    command = f"trilineage images pretrain --config config.toml --data {data_name} --out RUN"
    run = Run.create(
        target, kind=ENCODER_KIND, config=config, seed=made.seed, command=command, data=facts, overwrite=True
    )
    for name in KEPT:
        if made.has(name):
            run.write_bytes(name, made.read_bytes(name))
    run.finish()
    return run


if __name__ == "__main__":
    bundle(Path(sys.argv[1]), sys.argv[2])
