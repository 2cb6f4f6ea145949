"""A cohort of drawn cells, a small transformer that has seen them, and a concepts recipe that fits in seconds."""

import csv

import numpy as np
import torch
from PIL import Image

SIZE = 32
N_PATIENTS = 8
LABELS = {"ALL": (120, 60, 170), "AML": (170, 60, 80), "CLL": (60, 90, 180)}
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]


def draw_cell(label, nucleus, random):
    """Return a cell in the label's colour with a small or large dark nucleus, and the masks of both."""
    centre = SIZE / 2 + random.uniform(-3, 3, 2)
    distance = np.hypot(ROWS - centre[0], COLUMNS - centre[1])
    is_cell, is_nucleus = distance < 11, distance < {"small": 4, "large": 8}[nucleus]
    pixels = np.full((SIZE, SIZE, 3), 225.0)
    pixels[is_cell] = LABELS[label]
    pixels[is_nucleus] *= 0.5
    pixels += random.normal(0, 12, pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8), is_cell, is_nucleus


def write_cohort(folder, *, first_patient=0, n_patients=N_PATIENTS):
    """Write cells of patients with three diagnoses, 4 each and 20 of the first; return the folder."""
    rows = []
    for name in ("images", "cells", "nuclei"):
        (folder / name).mkdir(parents=True)
    for label in LABELS:
        for patient in range(first_patient, first_patient + n_patients):
            random = np.random.default_rng((patient, *LABELS[label]))
            for number in range(4 if patient else 20):
                stem, nucleus = f"{label}_{patient}_{number}".lower(), ("small", "large")[number % 2]
                pictures = draw_cell(label, nucleus, random)
                for name, pixels in zip(("images", "cells", "nuclei"), pictures, strict=True):
                    Image.fromarray(pixels).save(folder / name / f"{stem}.png")
                site = ("north", "south")[patient % 2]
                about = {"label": label, "patient": f"{label}{patient}", "site": site, "nucleus": nucleus}
                rows.append({"path": f"images/{stem}.png", **about})
    with open(folder / "manifest.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def encoder_config(folder):
    """Return the images recipe that teaches a small transformer the diagnoses."""
    from trilineage.pipelines.images import Config

    overrides = {
        "data.path": str(folder / "manifest.csv"),
        "data.size": SIZE,
        "backbone.name": "small_vit",
        "backbone.pool": "cls",
        "split.valid_fraction": 0.3,
        "training.epochs": 4,
        "training.batch_size": 16,
        "training.learning_rate": 1e-3,
        "evaluation.n_bootstrap": 100,
        "evaluation.n_permutations": 99,
    }
    return Config.load(None, overrides)


def concepts_config(folder, encoder, **changes):
    """Return a concepts recipe on the tokens of that transformer."""
    from trilineage.pipelines.concepts import Config

    overrides = {
        "data.path": str(folder / "manifest.csv"),
        "data.size": SIZE,
        "data.workers": 1,
        "encoder.run": str(encoder),
        "attributes": ("nucleus",),
        "concepts.alpha": 0.1,
        "tokens.images_per_shard": 36,
        "tokens.chunk_images": 16,
        "tokens.buffer_images": 64,
        "sae.latents": 192,
        "sae.k": 8,
        "training.epochs": 4,
        "training.batch_size": 256,
        "training.learning_rate": 3e-3,
        "subtype.n_folds": 3,
        "subtype.n_repeats": 1,
        "subtype.n_inner_folds": 2,
        "subtype.inverse_penalties": (0.1, 10.0),
        "disease.n_permutations": 99,
        "disease.n_bootstrap": 100,
        "evaluation.n_bootstrap": 100,
        "evaluation.n_permutations": 99,
        **changes,
    }
    return Config.load(None, overrides)


def write_shuffled(run, path):
    """Write the autoencoder of a Run with its latents in another order; return the file and the order."""
    from trilineage.data.sae_formats.own import write_sae
    from trilineage.models.sae.exchange import from_model
    from trilineage.pipelines._concepts.store import read_dictionary

    member = read_dictionary(run)
    order = torch.randperm(member.n_latents, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name in ("encoder_weight", "encoder_bias", "decoder_weight"):
            weight = getattr(member, name)
            weight.copy_(weight[order].clone())
    write_sae(from_model(member), path)
    return path, order.numpy()


def require_same(first, second):
    """Require equal weights, figures, references, associations, profiles and barcodes."""
    from trilineage.data.barcodes.files import read_barcodes

    for name in ("weights/sae.safetensors", "references.npz", "associations.npz", "profile.npz"):
        assert first.read_bytes(name) == second.read_bytes(name), name
    one, other = (run.read_arrays("concepts.npz") for run in (first, second))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    one, other = (read_barcodes(run.path / "barcodes.h5ad") for run in (first, second))
    assert np.array_equal(one.values.toarray(), other.values.toarray())
    assert one.names.tolist() == other.names.tolist()
