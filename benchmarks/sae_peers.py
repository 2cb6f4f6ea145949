"""The peers' side of bench_sae.py; runs in an environment of its own and imports nothing of trilineage.

    python sae_peers.py sparsify|saelens TOKENS.npy batch_size n_latents k

Takes training steps of a top-k autoencoder the way the package's own trainer does, with Adam. Before each step it
prints "ready" and waits for a line, so that all sides take turns; after it, a JSON line with tokens and processor
seconds.
"""

import json
import sys
import time

import numpy as np
import torch


class Sparsify:
    """sparsify: embedding-bag decoder, unit-norm rows, no dead latent."""

    def __init__(self, width, n_latents, k):
        from sparsify import SparseCoder, SparseCoderConfig

        self.model = SparseCoder(width, SparseCoderConfig(num_latents=n_latents, k=k))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4)

    def step(self, tokens):
        self.model.set_decoder_norm_to_unit_norm()
        self.model(tokens).fvu.backward()
        self.model.remove_gradient_parallel_to_decoder_directions()
        self.optimizer.step()
        self.optimizer.zero_grad()


class SaeLens:
    """SAELens: its training forward pass, clipping and Adam, with sparse activations if asked for."""

    def __init__(self, width, n_latents, k):
        from sae_lens.saes.sae import TrainStepInput
        from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

        self.model = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=width, d_sae=n_latents, k=k))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4)
        self.make_input = TrainStepInput

    def step(self, tokens):
        given = self.make_input(
            sae_in=tokens, coefficients={}, dead_neuron_mask=None, n_training_steps=0, is_logging_step=False
        )
        output = self.model.training_forward_pass(given)
        fires = output.feature_acts.detach().bool().float()
        fires.sum(-2).bool()
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def main():
    name, path, batch_size, n_latents, k = sys.argv[1:]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokens = torch.from_numpy(np.load(path)[: int(batch_size)])
    side = {"sparsify": Sparsify, "saelens": SaeLens}[name](tokens.shape[1], int(n_latents), int(k))
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        side.step(tokens)
        print(json.dumps({"tokens": len(tokens), "seconds": time.process_time() - start}), flush=True)


if __name__ == "__main__":
    main()
