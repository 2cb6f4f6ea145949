"""What several processes do together: train autoencoders, and save their weights from every process."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import torch

from trilineage.data.tokens.batches import TokenBatches
from trilineage.training.loop import train
from trilineage.training.objectives.sae.step import sae_step
from trilineage.training.settings import TrainingSettings

RECIPES = {
    "topk": {"n_dead": 30, "auxiliary_k": 5},
    "batch_topk": {"activation": "batch_topk", "auxiliary": "none"},
    "relu": {"activation": "relu", "auxiliary": "none"},
}


def fit(plain, options):
    """Train on 101 tokens in batches of 20, so that shares are uneven and the last batch is of one token more."""
    made = plain.model(**options)
    settings = TrainingSettings(epochs=2, batch_size=20, learning_rate=0.003)
    batches = TokenBatches(plain.tokens(101).numpy())
    train(made, sae_step(), batches, settings, seed=3, device=torch.device("cpu"))
    return {name: value.numpy() for name, value in made.state_dict().items()}


def main() -> None:
    spec = importlib.util.spec_from_file_location("plain_sae", Path(__file__).with_name("plain.py"))
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    results = {}
    for name, options in RECIPES.items():
        results |= {f"{name}/{key}": value for key, value in fit(plain, options).items()}
    np.savez(Path(sys.argv[1]) / f"rank{os.environ['RANK']}.npz", **results)


if __name__ == "__main__":
    main()
