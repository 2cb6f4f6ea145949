"""The scVI side of bench_likelihood.py; runs in an environment of its own and imports nothing of trilineage.

    python scvi_side.py COUNTS.npz likelihood batch_size n_epochs

Trains `scvi.model.SCVI` with its defaults but for the likelihood and batch size asked for. Before each epoch it prints
"ready" and waits for a line, so that both sides take turns; after it, a JSON line with the cells and seconds.
"""

import json
import logging
import sys
import time
import warnings

import anndata
import numpy as np
import scipy.sparse as sp
import torch
from lightning.pytorch.callbacks import Callback


class TakeTurns(Callback):
    """Wait before an epoch, time it, and say how long it took."""

    def __init__(self, n_cells):
        self.n_cells, self.start = n_cells, 0.0

    def on_train_epoch_start(self, trainer, module):
        print("ready", flush=True)
        sys.stdin.readline()
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer, module):
        print(json.dumps({"cells": self.n_cells, "seconds": time.perf_counter() - self.start}), flush=True)


def main():
    path, likelihood, batch_size, n_epochs = sys.argv[1:]
    warnings.filterwarnings("ignore")
    import scvi

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(2)
    scvi.settings.seed = 0
    with np.load(path) as file:
        counts = sp.csr_matrix((file["data"], file["indices"], file["indptr"]), shape=tuple(file["shape"]))
    adata = anndata.AnnData(counts)
    scvi.model.SCVI.setup_anndata(adata)
    model = scvi.model.SCVI(adata, gene_likelihood=likelihood)
    n_train = int(np.ceil(0.9 * adata.n_obs))
    model.train(
        max_epochs=int(n_epochs),
        accelerator="cpu",
        batch_size=int(batch_size),
        callbacks=[TakeTurns(n_train)],
        enable_progress_bar=False,
        enable_model_summary=False,
    )


if __name__ == "__main__":
    main()
