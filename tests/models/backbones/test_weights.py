"""Weights from files and Runs: they arrive exactly, positions fit the grid, strangers and pickles are refused."""

import io
import pickle
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from trilineage.core.artifacts import Run
from trilineage.core.errors import AlteredFileError, ArtifactError, FormatError, UnsafeFileError
from trilineage.core.files import sha256_file
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings


def vit(size=32, **options):
    return build_backbone(BackboneSettings(name="vit_tiny_patch16_224", **options), size).eval()


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(1)
    return vit()


def same(first, second):
    a, b = first.state_dict(), second.state_dict()
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("prefix", ["", "net.", "backbone.net.", "module."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_arrive_under_every_usual_name(source, tmp_path, prefix, suffix):
    path = tmp_path / f"weights{suffix}"
    tensors = {prefix + name: value.clone() for name, value in source.net.state_dict().items()}
    tensors["head.weight"] = torch.zeros(3, 192)  # a classifier of somebody else's classes
    save_file(tensors, path) if suffix == ".safetensors" else torch.save({"state_dict": tensors}, path)
    assert same(vit(weights=str(path)), source)


def test_half_precision_is_read_into_full(source, tmp_path):
    path = tmp_path / "half.safetensors"
    save_file({name: value.bfloat16() for name, value in source.net.state_dict().items()}, path)
    found = vit(weights=str(path)).net.norm.weight
    assert found.dtype == torch.float32
    assert torch.equal(found, source.net.norm.weight)


def test_another_run_lends_its_weights(source, tmp_path):
    run = Run.create(tmp_path / "run", kind="images", config=BackboneSettings(), seed=0)
    arrays = {f"backbone.{name}": value.numpy() for name, value in source.state_dict().items()}
    run.write_weights("fold_0", arrays | {"head.logits.linear.bias": np.zeros(3, np.float32)})
    assert same(vit(weights=str(run.path), weights_name="fold_0"), source)


def test_positions_are_resampled_to_the_grid(tmp_path):
    small = vit()
    with torch.no_grad():
        small.net.pos_embed.fill_(0.25)
        small.net.pos_embed[:, 0] = -1.0
    save_file(small.net.state_dict(), tmp_path / "small.safetensors")
    large = vit(64, weights=str(tmp_path / "small.safetensors")).net.pos_embed
    assert large.shape == (1, 17, 192)
    assert torch.allclose(large[:, 1:], torch.tensor(0.25), atol=1e-6)
    assert torch.equal(large[:, 0], torch.full((1, 192), -1.0))


def test_weights_of_another_architecture_name_the_first_shapes_that_differ(source, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(source.net.state_dict(), path)
    with pytest.raises(
        ArtifactError, match=r"cls_token \(1, 1, 192\) instead of \(1, 1, 384\).*and \d+ more"
    ):
        build_backbone(BackboneSettings(name="vit_small_patch16_224", weights=str(path)), 32)


def test_weights_of_another_kind_of_network_name_what_is_absent(source, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(source.net.state_dict(), path)
    with pytest.raises(ArtifactError, match=r"another architecture than small_cnn; seen: .* absent"):
        build_backbone(BackboneSettings(name="small_cnn", weights=str(path)), 28)


class Command:
    """What an attacker would put into a file."""

    def __reduce__(self):
        return (print, ("the code in the file ran",))


def pickled(path):
    path.write_bytes(pickle.dumps({"weight": torch.zeros(2)}))


def with_command(path):
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "config": Command()}, path)


def with_an_object(path):
    stream = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "optimizer": torch.nn.Linear(1, 1)}, stream)
    path.write_bytes(stream.getvalue())


@pytest.mark.parametrize("write", [pickled, with_command, with_an_object])
def test_a_file_that_can_carry_code_is_refused_and_nothing_runs(tmp_path, write, capsys):
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(UnsafeFileError, match="is not opened, because it can carry code"):
        vit(weights=str(path))
    assert capsys.readouterr().out == ""


def test_a_pickle_under_the_name_of_safetensors_is_refused(tmp_path):
    pickled(tmp_path / "weights.safetensors")
    with pytest.raises(UnsafeFileError, match="a pickle"):
        vit(weights=str(tmp_path / "weights.safetensors"))


@pytest.mark.parametrize(("suffix", "error"), [(".pth", FormatError), (".safetensors", ArtifactError)])
def test_a_torn_file_is_refused(source, tmp_path, suffix, error):
    path = tmp_path / f"weights{suffix}"
    tensors = source.net.state_dict()
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(error, match="not a sound"):
        vit(weights=str(path))


@pytest.mark.parametrize("instruction", [b"\x86", b"t", b"R", b"r\x01\x00\x00\x00", b"Q"])
def test_instructions_that_make_no_sense_are_damage(source, tmp_path, instruction):
    """Each trips torch in another way: an empty stack, nothing to call, no mark, a persistent name that is none."""
    torch.save(source.net.state_dict(), tmp_path / "sound.pth")
    with ZipFile(tmp_path / "sound.pth") as sound, ZipFile(tmp_path / "weights.pth", "w") as damaged:
        for name in sound.namelist():
            content = sound.read(name)
            damaged.writestr(
                name, content[:2] + instruction + content[3:] if name.endswith(".pkl") else content
            )
    with pytest.raises((FormatError, UnsafeFileError)):
        vit(weights=str(tmp_path / "weights.pth"))


@pytest.mark.parametrize("content", [torch.zeros(3), {"epoch": 3}, {"state_dict": {"epoch": 3}}])
def test_a_file_without_a_table_of_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ArtifactError, match="no table of weights"):
        vit(weights=str(tmp_path / "weights.pth"))


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(ArtifactError, match="no such weights; seen: .*absent"):
        vit(weights=str(tmp_path / "absent.pth"))


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ArtifactError):
        vit(weights=str(tmp_path))


def test_a_digest_that_was_asked_for_is_checked(source, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(source.net.state_dict(), path)
    assert same(vit(weights=str(path), sha256=sha256_file(path).upper()), source)
    with pytest.raises(AlteredFileError, match="not the file of weights that was asked for"):
        vit(weights=str(path), sha256="0" * 64)
