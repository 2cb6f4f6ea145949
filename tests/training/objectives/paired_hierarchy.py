"""What two processes do together: train a multilabel head on uneven shares, and save its weights from each."""

import os
import sys
from pathlib import Path

import numpy as np
import torch

from trilineage.core.seeding import generator
from trilineage.data.taxonomy import load_taxonomy
from trilineage.models.hierarchy import HierarchySettings, build_head
from trilineage.training.loop import train
from trilineage.training.objectives.hierarchy import hierarchy_step
from trilineage.training.settings import TrainingSettings

TREE = load_taxonomy("leukemia")


class Batch:
    def __init__(self, features, labels, weight):
        self.features, self.labels, self.weight = features, labels, weight


class Noise:
    """Images of every node, so that the parents' images are dealt unevenly between processes."""

    def __len__(self):
        return 33

    def order(self, *, seed, epoch):
        return generator(seed, "noise", epoch).permutation(len(self))

    def take(self, positions):
        draw = generator(0, "noise")
        features, weight = draw.normal(size=(33, 6)), 1.0 + draw.random(33)
        rows = [torch.from_numpy(part[positions]) for part in (features, np.arange(33) % 11, weight)]
        return Batch(rows[0].float(), rows[1], rows[2].float())


def fit():
    """Return the weights of the trained head and the loss of each epoch."""
    torch.manual_seed(0)
    settings = HierarchySettings()
    head = build_head(settings, TREE, 6)
    options = TrainingSettings(epochs=2, batch_size=8, learning_rate=0.05)
    history = train(
        head, hierarchy_step(settings, TREE), Noise(), options, seed=0, device=torch.device("cpu")
    )
    losses = [record["loss"] for record in history.epochs]
    return torch.cat([part.detach().flatten() for part in head.parameters()]).numpy(), np.array(losses)


if __name__ == "__main__":
    weights, losses = fit()
    np.savez(Path(sys.argv[1]) / f"rank{os.environ['RANK']}.npz", weights=weights, losses=losses)
