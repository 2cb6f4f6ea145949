"""Autoencoders of other packages: recognised, read safely, and giving the codes that those packages give."""

import importlib
import os

import numpy as np
import pytest
import torch
from safetensors import safe_open

from trilineage.core.errors import DataError, FormatError, UnsafeFileError
from trilineage.data.sae_formats.cytosae import cytosae_configuration
from trilineage.data.sae_formats.open import open_sae
from trilineage.data.sae_formats.own import write_sae
from trilineage.data.sae_formats.saelens import write_saelens
from trilineage.models.sae.exchange import from_model, to_model


def require_codes(path, x, expected):
    """The file's model gives these codes, and the reconstruction that its own weights make of them."""
    model = to_model(open_sae(path, width=x.shape[1]))
    codes = model.encode(x)
    assert torch.allclose(codes.dense(), expected, atol=1e-5)
    dense = codes.dense() @ model.decoder_weight.detach() + model.decoder_bias.detach()
    assert torch.allclose(model(x), dense, atol=1e-5)
    return model


@pytest.mark.parametrize("key", ["cfg", "config"])
def test_a_cytosae_checkpoint_gives_its_relu_codes(key, files, tmp_path):
    parts, x = files.arrays(), files.tokens()
    encoder, bias, _, middle, _ = parts
    path = files.write_cytosae(tmp_path / "cyto.pt", parts, key=key)
    require_codes(path, x, ((x - middle) @ encoder.T + bias).relu())
    assert cytosae_configuration(path) == {"d_in": 6, "block_layer": 10}


def test_a_full_size_cytosae_checkpoint_is_read_encoded_and_exported(files, tmp_path):
    parts = files.arrays_of_full_size()
    model = to_model(open_sae(files.write_cytosae(tmp_path / "cyto.pt", parts), width=768))
    x = torch.randn(17, 768, generator=torch.Generator().manual_seed(0))
    expected = ((x[:3] - parts[3]) @ parts[0].T + parts[1]).relu()
    assert torch.allclose(model.encode(x).dense()[:3], expected, atol=1e-3)
    write_saelens(from_model(model), tmp_path / "lens")
    with safe_open(tmp_path / "lens" / "sae_weights.safetensors", "pt") as written:
        assert torch.equal(written.get_slice("W_enc")[:, 40_000:40_010], parts[0][40_000:40_010].T)


@pytest.mark.parametrize("subtracts", [True, False])
def test_saelens_architectures_give_their_codes(subtracts, files, tmp_path):
    parts, x = files.arrays(), files.tokens()
    encoder, bias, decoder, middle, thresholds = parts
    z = (x - middle * subtracts) @ encoder.T + bias
    write = lambda name, **more: files.write_saelens(  # noqa: E731
        tmp_path / name, parts, name, apply_b_dec_to_input=subtracts, **more
    )
    require_codes(write("standard"), x, z.relu())
    require_codes(write("topk", k=3), x, files.topk(z, 3))
    require_codes(write("jumprelu"), x, z * (z > thresholds))
    rescaled = write("topk", k=3, rescale_acts_by_decoder_norm=True)
    require_codes(rescaled, x, files.topk(z * decoder.norm(dim=1), 3))


def test_sparsify_gives_its_codes_from_half_precision_files_as_well(files, tmp_path):
    x, parts = files.tokens(), files.arrays()
    encoder, bias, _, middle, _ = (part.to(torch.bfloat16).float() for part in parts)
    path = files.write_sparsify(tmp_path / "sparsify", parts)
    require_codes(path, x, files.topk((x - middle) @ encoder.T + bias, 3))


@pytest.mark.parametrize(
    "kind",
    ["AutoEncoder", "AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder"],
)
def test_dictionary_learning_classes_give_their_codes(kind, files, tmp_path):
    parts, x = files.arrays(), files.tokens()
    encoder, bias, decoder, middle, thresholds = parts
    z = (x - middle) @ encoder.T + bias
    raw = x @ encoder.T + bias  # a JumpReLU of that package sees the tokens as they are
    expected = {
        "AutoEncoder": z.relu(),
        "AutoEncoderTopK": files.topk(z, 3),
        "BatchTopKSAE": z * (z > 0.4),
        "MatryoshkaBatchTopKSAE": z * (z > 0.4),
        "JumpReluAutoEncoder": raw * (raw > thresholds) * decoder.norm(dim=1),
    }
    require_codes(files.write_dictionary(tmp_path / kind, parts, kind), x, expected[kind])


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
@pytest.mark.parametrize("form", ["saelens", "own"])
def test_what_is_written_is_read_with_equal_codes(architecture, form, files, tmp_path):
    x = files.tokens()
    model = to_model(open_sae(files.write_saelens(tmp_path / "in", files.arrays(), architecture, k=3)))
    if form == "saelens":
        write_saelens(from_model(model), tmp_path / "out")
    else:
        write_sae(from_model(model), tmp_path / "out.safetensors")
    path = tmp_path / ("out" if form == "saelens" else "out.safetensors")
    require_codes(path, x, model.encode(x).dense())


class Bomb:
    """A pickle that runs a command when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("name", ["bomb.pt", "ae.pt"])
def test_a_pickle_bomb_is_never_run(name, files, tmp_path):
    struck, path = tmp_path / "struck", tmp_path / name
    torch.save({"cfg": Bomb(struck), "state_dict": {"W_enc": torch.ones(2, 2)}}, path)
    (tmp_path / "config.json").write_text('{"trainer": {"dict_class": "AutoEncoder"}}')
    with pytest.raises(UnsafeFileError, match="system"):
        open_sae(path if name == "bomb.pt" else tmp_path)
    assert not struck.exists()


def test_a_bare_pickle_is_not_opened(tmp_path):
    path = tmp_path / "bare.pt"
    path.write_bytes(importlib.import_module("pickle").dumps(Bomb(tmp_path / "struck")))
    with pytest.raises(UnsafeFileError, match="bare pickle"):
        open_sae(path)


def test_classes_of_other_modules_are_not_let_in(files, tmp_path):
    path = files.write_cytosae(tmp_path / "cyto.pt", files.arrays(), module="somewhere.config")
    with pytest.raises(UnsafeFileError, match=r"somewhere\.config"):
        open_sae(path)


def test_an_autoencoder_of_other_tokens_is_refused(files, tmp_path):
    path = files.write_cytosae(tmp_path / "cyto.pt", files.arrays())
    with pytest.raises(DataError, match="seen: width 6; allowed: width 768"):
        open_sae(path, width=768)


def test_what_cannot_be_done_exactly_is_refused(files, tmp_path):
    parts = files.arrays()
    with pytest.raises(FormatError, match="architecture"):
        open_sae(files.write_saelens(tmp_path / "a", parts, "gated"))
    with pytest.raises(FormatError, match="layer_norm"):
        open_sae(files.write_saelens(tmp_path / "b", parts, "standard", normalize_activations="layer_norm"))
    with pytest.raises(FormatError, match="groupmax"):
        open_sae(files.write_sparsify(tmp_path / "c", parts, activation="groupmax"))
    with pytest.raises(FormatError, match="k is no number of latents"):
        open_sae(files.write_sparsify(tmp_path / "d", parts, k=21))


def test_a_file_that_is_something_else_is_refused(files, tmp_path):
    (tmp_path / "x.bin").write_bytes(b"x")
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(FormatError, match="no autoencoder that is known"):
        open_sae(tmp_path / "x.bin")
    with pytest.raises(FormatError, match="no checkpoint of CytoSAE"):
        open_sae(tmp_path / "other.pt")
    whole = files.write_cytosae(tmp_path / "cyto.pt", files.arrays()).read_bytes()
    (tmp_path / "torn.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="not a sound file"):
        open_sae(tmp_path / "torn.pt")


def test_a_weight_that_is_no_number_is_refused(files, tmp_path):
    parts = files.arrays()
    parts[2][3, 1] = np.nan
    with pytest.raises(FormatError, match="decoder is not finite"):
        open_sae(files.write_cytosae(tmp_path / "cyto.pt", parts))
