"""What two processes do together: pretrain an encoder from a manifest, and say what the Run holds."""

import os
import sys
from pathlib import Path

import numpy as np

from trilineage.pipelines import images

OPTIONS = {
    "data.size": 16,
    "objective.decoder_width": 32,
    "training.epochs": 4,
    "training.batch_size": 16,
    "training.warmup_steps": 0,
    "training.learning_rate": 0.003,
}


def main() -> None:
    folder, manifest = map(Path, sys.argv[1:])
    config = images.PretrainConfig.load(None, {**OPTIONS, "data.path": str(manifest)})
    run = images.pretrain(config, folder / "run", device="cpu")
    (weights,) = (run.path / "weights").glob("*.safetensors")
    losses = [epoch["loss"] for epoch in run.read_json("history.json")["encoder"]["epochs"]]
    np.savez(folder / f"rank{os.environ['RANK']}.npz", **run.read_weights(weights.stem), losses=losses)


if __name__ == "__main__":
    main()
