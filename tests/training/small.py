"""A training of milliseconds, for tests in this process and in processes that are killed or come in pairs."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

from trilineage.core.seeding import generator, seed_everything
from trilineage.models.layers import BatchNorm1d, RowDropout
from trilineage.training.loop import StepOutput, train
from trilineage.training.settings import TrainingSettings

CPU = torch.device("cpu")


class Line:
    """Samples whose target is a sum of their features."""

    def __init__(self, n_samples: int = 41, *, seed: int = 0):
        self.features = torch.from_numpy(
            generator(seed, "line").normal(size=(n_samples, 6)).astype(np.float32)
        )
        self.targets = self.features[:, :3].sum(dim=1)
        self.taken: list[np.ndarray] = []

    def __len__(self):
        return len(self.features)

    def order(self, *, seed, epoch):
        return generator(seed, "order", epoch).permutation(len(self))

    def take(self, positions):
        self.taken.append(positions)
        rows = torch.from_numpy(positions)
        return self.features[rows], self.targets[rows]


class Network(nn.Module):
    """Every layer that has to know of other processes, and a parameter that is never used.

    A bias before a batch norm would have a gradient of nothing but rounding errors, which Adam makes as large as any.
    """

    def __init__(self, *, with_norm: bool = True):
        super().__init__()
        norm = BatchNorm1d(16) if with_norm else nn.Identity()
        self.layers = nn.Sequential(
            nn.Linear(6, 16, bias=False), norm, nn.ReLU(), RowDropout(0.2), nn.Linear(16, 1)
        )
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, features):
        return self.layers(features)[:, 0]


def network(*, with_norm: bool = True) -> Network:
    seed_everything(3)
    return Network(with_norm=with_norm)


def step(model, batch) -> StepOutput:
    features, targets = batch
    losses = (model(features) - targets).square()
    weights = 1.0 + (targets > 0).float()  # shares of unequal weight, as donors have
    return StepOutput((losses * weights).sum(), weights.sum())


def fit(folder: Path | None = None, *, model=None, batches=None, step_function=step, **options):
    """Train the small network; return it and its history."""
    model = network() if model is None else model
    batches = Line() if batches is None else batches
    arguments = {key: options.pop(key) for key in ("validate", "fingerprint", "name") if key in options}
    values = {"epochs": 4, "batch_size": 8, "learning_rate": 0.01, "checkpoint_every_s": 0.0} | options
    settings = TrainingSettings(**values)
    history = train(
        model, step_function, batches, settings, seed=5, device=CPU, checkpoints_dir=folder, **arguments
    )
    return model, history


def weights(model) -> np.ndarray:
    """Return everything a model has learned as one vector."""
    return np.concatenate([value.double().numpy().ravel() for value in model.state_dict().values()])


def digest(model) -> str:
    return hashlib.sha256(weights(model).tobytes()).hexdigest()
