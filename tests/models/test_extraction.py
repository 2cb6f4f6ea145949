"""Extraction: the backbone's own tokens on disk, by any number of processes, going on after a stop; bad ones named."""

import errno
import os
import threading

import numpy as np
import pytest
import torch

from trilineage.core.errors import ArtifactError, ConfigError, DataError, Interrupted, StorageError
from trilineage.data.images.open import open_images
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.tokens.batches import ShuffledTokens
from trilineage.data.tokens.reader import TokenReader
from trilineage.data.tokens.shards import TokenShardWriter
from trilineage.data.tokens.store import TokenStore
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.encoder import TokenEncoder
from trilineage.models.extraction import LiveTokens, extract_tokens, read_share, token_source

N_IMAGES = 11


def encoder_of(name="small_vit", size=16, seed=0, **options):
    torch.manual_seed(seed)
    pool = "cls" if name == "small_vit" else "auto"
    return TokenEncoder(build_backbone(BackboneSettings(name=name, pool=pool), size), **options)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Eleven images of noise, of which number 7 is white."""
    images = np.random.default_rng(0).integers(0, 200, (N_IMAGES, 16, 16, 3), dtype=np.uint8)
    images[7] = 255
    path = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(path, images=images, labels=np.array(["a", "b"])[np.arange(N_IMAGES) % 2])
    return path


def opened(archive, size=16, **options):
    return open_images(ImageDataSettings(path=str(archive), size=size, workers=1, **options))


@pytest.fixture(scope="module")
def table(archive):
    return opened(archive)


def pixels_of(table):
    images = np.stack([table.read_sized(position) for position in range(len(table))])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


class BadTokens(TokenEncoder):
    """Gives the white image a bad value in its token 3."""

    value = float("nan")

    def tokens(self, pixels):
        tokens = super().tokens(pixels).clone()
        tokens[pixels.mean(dim=(1, 2, 3)) == 1, 3, 1] = self.value
        return tokens


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_tokens_on_disk_are_those_of_the_backbone(dtype, table, tmp_path):
    encoder = encoder_of(dtype=dtype)
    report = extract_tokens(encoder, table, tmp_path, images_per_shard=4, workers=2)
    stored = TokenStore.open(tmp_path, token_source(encoder, table)).read(np.arange(N_IMAGES))
    expected = encoder.backbone.tokens(pixels_of(table), -2).numpy()
    assert stored.dtype == dtype
    assert np.allclose(stored, expected, atol=1e-5 if dtype == "float32" else 2e-3)
    assert (report.n_images, report.n_tokens) == (N_IMAGES, N_IMAGES * 5)
    assert report.n_bytes == stored.nbytes
    assert report.images_per_second > 0


def test_a_convolutional_network_leaves_the_tokens_of_its_grid(archive, tmp_path):
    encoder, table = encoder_of("convnext_atto", 64, dtype="float32"), opened(archive, 64)
    extract_tokens(encoder, table, tmp_path)
    stored = TokenStore.open(tmp_path).read(np.array([3]))
    assert np.allclose(stored, encoder.backbone.tokens(pixels_of(table)[3:4], -2).numpy(), atol=1e-4)
    assert stored.shape == (1, 4, 320)


def test_shares_of_several_processes_make_one_store(table, tmp_path):
    encoder = encoder_of()
    first = extract_tokens(encoder, table, tmp_path, images_per_shard=2, shard=(0, 2))
    assert (first.n_images, first.left_elsewhere) == (6, (1, 3, 5))
    with pytest.raises(ArtifactError, match="shards 1, 3, 5"):
        TokenStore.open(tmp_path)
    second = extract_tokens(encoder, table, tmp_path, images_per_shard=2, shard=(1, 2))
    assert (second.n_images, second.left_elsewhere) == (5, ())
    assert len(TokenStore.open(tmp_path)) == N_IMAGES


def test_a_stopped_extraction_goes_on_and_ends_with_the_same_bytes(table, tmp_path):
    encoder, steps = encoder_of(), []

    def stop():
        steps.append(1)
        if len(steps) == 3:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        extract_tokens(encoder, table, tmp_path / "stopped", images_per_shard=3, check=stop)
    n_before = threading.active_count()
    report = extract_tokens(encoder, table, tmp_path / "stopped", images_per_shard=3)
    assert (report.n_before, report.n_images) == (6, 5)
    assert threading.active_count() <= n_before
    extract_tokens(encoder, table, tmp_path / "straight", images_per_shard=3)
    for path in sorted((tmp_path / "straight").glob("*.npy")):
        assert path.read_bytes() == (tmp_path / "stopped" / path.name).read_bytes()


def test_a_finished_extraction_has_nothing_left_to_do(table, tmp_path):
    encoder = encoder_of()
    extract_tokens(encoder, table, tmp_path)
    report = extract_tokens(encoder, table, tmp_path)
    assert (report.n_images, report.n_before, report.images_per_second) == (0, N_IMAGES, 0.0)


def test_a_half_written_shard_is_made_again(table, tmp_path):
    encoder = encoder_of()
    extract_tokens(encoder, table, tmp_path, images_per_shard=4)
    path = tmp_path / "tokens_000001.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert extract_tokens(encoder, table, tmp_path, images_per_shard=4).n_images == 4
    assert path.read_bytes() == whole


@pytest.mark.parametrize(("value", "seen"), [("nan", "nan"), ("inf", "inf")])
def test_a_token_that_is_no_number_is_refused_with_image_and_token(value, seen, table, tmp_path, monkeypatch):
    monkeypatch.setattr(BadTokens, "value", float(value))
    encoder = BadTokens(encoder_of().backbone, dtype="float32")
    where = rf"seen: {seen} in token 3 \(patch in row 1, column 0\) of the image at position 7"
    with pytest.raises(DataError, match=f"a token of 000007 is not finite; {where}"):
        extract_tokens(encoder, table, tmp_path, images_per_shard=4)
    assert (tmp_path / "done_000000.json").is_file()
    assert not (tmp_path / "tokens_000001.npy").exists()


def test_a_token_too_large_for_half_precision_is_refused_with_the_remedy(table, tmp_path, monkeypatch):
    monkeypatch.setattr(BadTokens, "value", 70_000.0)
    with pytest.raises(DataError, match=r"too large for float16.*Set encoder\.dtype=float32"):
        extract_tokens(BadTokens(encoder_of().backbone), table, tmp_path / "half")
    extract_tokens(BadTokens(encoder_of().backbone, dtype="float32"), table, tmp_path / "single")


def test_tokens_on_the_fly_are_refused_alike(table):
    with pytest.raises(DataError, match="a token of 000007 is not finite"):
        LiveTokens(BadTokens(encoder_of().backbone), table).read(np.arange(N_IMAGES))


def test_a_folder_of_another_backbone_is_refused(table, tmp_path):
    extract_tokens(encoder_of(), table, tmp_path)
    with pytest.raises(ArtifactError, match="holds other tokens than those asked for; seen: weights"):
        extract_tokens(encoder_of(seed=1), table, tmp_path)
    with pytest.raises(ArtifactError, match="seen: block 4; allowed: block 3"):
        extract_tokens(encoder_of(block=3), table, tmp_path)


def test_a_folder_of_other_images_is_refused(table, tmp_path):
    extract_tokens(encoder_of(), table, tmp_path)
    with pytest.raises(ArtifactError, match="seen: images"):
        extract_tokens(encoder_of(), table.subset(np.arange(5)), tmp_path)


def test_images_that_come_to_their_size_in_another_way_are_other_tokens(archive, table):
    cropped = opened(archive, fit="crop")
    first, second = (token_source(encoder_of(), images) for images in (table, cropped))
    assert first.key != second.key
    assert first.encoder_key == second.encoder_key


def test_a_full_disk_says_what_is_finished_and_stays(table, tmp_path, monkeypatch):
    written, add = [], TokenShardWriter.add

    def full(writer, tokens, norms):
        written.append(1)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        add(writer, tokens, norms)

    monkeypatch.setattr(TokenShardWriter, "add", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        extract_tokens(encoder_of(), table, tmp_path, images_per_shard=4)
    assert "2 of 3 shards are finished and stay" in caught.value.__notes__[0]
    monkeypatch.setattr(TokenShardWriter, "add", add)
    assert extract_tokens(encoder_of(), table, tmp_path, images_per_shard=4).n_images == 3


def test_images_of_another_size_are_refused(archive, tmp_path):
    with pytest.raises(ConfigError, match=r"another image size; seen: \(24, 24\)"):
        extract_tokens(encoder_of(), opened(archive, 24), tmp_path)


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0)])
def test_a_share_that_is_not_there_is_refused(shard, table, tmp_path):
    with pytest.raises(ConfigError, match="no such share"):
        extract_tokens(encoder_of(), table, tmp_path, shard=shard)


def test_shards_of_another_size_are_refused(table, tmp_path):
    extract_tokens(encoder_of(), table, tmp_path, images_per_shard=4)
    with pytest.raises(ConfigError, match="shards of .* have another size; seen: 5 images; allowed: 4"):
        extract_tokens(encoder_of(), table, tmp_path, images_per_shard=5)


def test_no_image_is_refused(table, tmp_path):
    with pytest.raises(ConfigError, match="nothing to extract"):
        extract_tokens(encoder_of(), table.subset(np.zeros(0, np.int64)), tmp_path)


@pytest.mark.parametrize("text", ["", "3", "3/3", "-1/2", "a/b", "1/2/3", "1.5/2"])
def test_a_text_that_names_no_share_is_refused(text):
    with pytest.raises(ConfigError, match="names no share"):
        read_share(text)


def test_tokens_on_the_fly_are_those_on_disk_in_any_order(table, tmp_path):
    encoder = encoder_of(dtype="float32")
    extract_tokens(encoder, table, tmp_path)
    live, store = LiveTokens(encoder, table, workers=2), TokenStore.open(tmp_path)
    positions = np.array([10, 3, 3, 0, 7])
    assert isinstance(live, TokenReader)
    assert live.source == store.source
    assert np.allclose(live.read(positions), store.read(positions), atol=1e-5)


def test_batches_on_the_fly_come_in_the_order_of_batches_on_disk(table, tmp_path):
    encoder = encoder_of(dtype="float32")
    extract_tokens(encoder, table, tmp_path)
    readers = (LiveTokens(encoder, table), TokenStore.open(tmp_path))
    live, stored = (ShuffledTokens(reader, chunk_images=2, buffer_images=4) for reader in readers)
    order = live.order(seed=0, epoch=3)
    assert np.array_equal(order, stored.order(seed=0, epoch=3))
    assert torch.allclose(live.take(order[:13]).tokens, stored.take(order[:13]).tokens, atol=1e-5)


def test_real_cells_leave_the_same_tokens_on_disk_and_on_the_fly(real_data, tmp_path):
    path = real_data / "images" / "pbc_barcelona" / "images"
    if not path.is_dir():
        pytest.skip("no PBC images")
    settings = ImageDataSettings(path=str(path), size=32, limit_per_class=1, verify="header", workers=1)
    table, encoder = open_images(settings), encoder_of(size=32, dtype="float32")
    extract_tokens(encoder, table, tmp_path, images_per_shard=3)
    stored = TokenStore.open(tmp_path).read(np.arange(len(table)))
    assert np.allclose(stored, LiveTokens(encoder, table).read(np.arange(len(table))), atol=1e-5)
    assert np.isfinite(stored).all()
