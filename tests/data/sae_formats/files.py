"""Small files in the layouts of other packages, and the codes those packages would give."""

import contextlib
import json
import sys
import types

import numpy as np
import torch
from safetensors.torch import save_file

from trilineage.core.seeding import generator

WIDTH, N_LATENTS = 6, 20


def arrays(*, seed=0, width=WIDTH, n_latents=N_LATENTS):
    """Return encoder (latent, width), its bias, decoder with rows of different norms, its bias, thresholds."""
    rng = generator(seed, "sae files")
    shapes = ((n_latents, width), (n_latents,), (n_latents, width), (width,))
    encoder, bias, decoder, middle = (torch.from_numpy(rng.normal(size=s).astype(np.float32)) for s in shapes)
    return encoder, bias, decoder, middle, torch.from_numpy(rng.random(n_latents).astype(np.float32))


def arrays_of_full_size():
    """Return the same at the size of the published CytoSAE, made of few random numbers because that is quick."""
    encoder, bias, decoder, middle, thresholds = arrays(width=768, n_latents=512)
    scale = torch.linspace(0.5, 1.5, 49_152)[:, None]
    bias = bias.repeat(96) - 60.0  # some hundred latents of a token are active
    return encoder.repeat(96, 1) * scale, bias, decoder.repeat(96, 1), middle, thresholds.repeat(96)


def tokens(n_tokens=12):
    return torch.from_numpy(generator(1, "sae tokens").normal(size=(n_tokens, WIDTH)).astype(np.float32))


@contextlib.contextmanager
def foreign_class(module_name, class_name):
    """Lend a class of a module that is not there otherwise."""
    names = [module_name.rsplit(".", depth)[0] for depth in range(module_name.count("."), -1, -1)]
    made = {name: types.ModuleType(name) for name in names}
    kind = type(class_name, (), {"__module__": module_name})
    setattr(made[module_name], class_name, kind)
    sys.modules.update(made)
    try:
        yield kind
    finally:
        for name in made:
            del sys.modules[name]


def write_cytosae(path, parts, *, key="cfg", module="src.sae_training.config"):
    encoder, bias, decoder, middle, _ = parts
    with foreign_class(module, "ViTSAERunnerConfig") as kind:
        config = kind()
        config.__dict__.update(
            d_in=len(middle), block_layer=10, dtype=torch.float32, device=torch.device("cpu")
        )
        state = {"W_enc": encoder.T.contiguous(), "b_enc": bias, "W_dec": decoder, "b_dec": middle}
        torch.save({key: config, "state_dict": state}, path)
    return path


def write_saelens(folder, parts, architecture, **options):
    encoder, bias, decoder, middle, thresholds = parts
    tensors = {"W_enc": encoder.T.contiguous(), "b_enc": bias, "W_dec": decoder, "b_dec": middle}
    if architecture == "jumprelu":
        tensors["threshold"] = thresholds
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {"architecture": architecture, "d_in": WIDTH, "d_sae": N_LATENTS, "metadata": {}} | options
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def write_sparsify(folder, parts, **options):
    encoder, bias, decoder, middle, _ = parts
    folder.mkdir(exist_ok=True)
    tensors = {"encoder.weight": encoder, "encoder.bias": bias, "W_dec": decoder, "b_dec": middle}
    save_file({name: t.to(torch.bfloat16) for name, t in tensors.items()}, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"activation": "topk", "k": 3, "d_in": WIDTH} | options))
    return folder


def write_dictionary(folder, parts, kind):
    encoder, bias, decoder, middle, thresholds = parts
    matrices = {"W_enc": encoder.T.contiguous(), "b_enc": bias, "W_dec": decoder, "b_dec": middle}
    linear = {"encoder.weight": encoder, "encoder.bias": bias, "decoder.weight": decoder.T.contiguous()}
    scalars = {"k": torch.tensor(3, dtype=torch.int), "threshold": torch.tensor(0.4)}
    state = {
        "AutoEncoder": linear | {"bias": middle},
        "AutoEncoderTopK": linear | {"b_dec": middle} | scalars,
        "BatchTopKSAE": linear | {"b_dec": middle} | scalars,
        "MatryoshkaBatchTopKSAE": matrices | scalars | {"group_sizes": torch.tensor([5, 15])},
        "JumpReluAutoEncoder": matrices | {"threshold": thresholds},
    }[kind]
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": kind}}))
    return folder


def topk(z, k):
    best = z.topk(k, dim=1)
    return torch.zeros_like(z).scatter(1, best.indices, best.values.relu())
