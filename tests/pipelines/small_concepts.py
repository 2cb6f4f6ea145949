"""A cohort of simulated smears, a small transformer that has seen them, and a concepts recipe that fits in seconds."""

import numpy as np
import torch

from trilineage.data.simulate.smears.settings import SmearSettings
from trilineage.data.simulate.smears.write import simulate_to_folder

SIZE = 32
N_PATIENTS, N_IMAGES = 10, 6
DIAGNOSES = ("AML", "CLL", "normal")


def write_cohort(folder, *, first_patient=0, n_patients=N_PATIENTS, n_images=N_IMAGES):
    """Draw smears of three diagnoses with their masks; return the folder."""
    settings = SmearSettings(
        diagnoses=DIAGNOSES,
        n_patients_per_diagnosis=n_patients,
        first_patient=first_patient,
        n_images_per_patient=n_images,
        size=SIZE,
        n_sites=2,
        canvas_um=0.3,
        red_cell_density=4.0,
    )
    simulate_to_folder(settings, folder)
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
        "training.epochs": 3,
        "training.batch_size": 32,
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
        "attributes": ("cell_type",),
        "tokens.images_per_shard": 50,
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
