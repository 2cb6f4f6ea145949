"""The cache: the same pixels as without it, nothing decoded twice, and no harm from damage or company."""

import subprocess
import sys

import numpy as np
import pytest

from trilineage.core.errors import StorageError
from trilineage.data.images import cache
from trilineage.data.images.open import open_images
from trilineage.data.images.settings import ImageDataSettings


@pytest.fixture
def settings(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_PER_SHARD", 4)
    return ImageDataSettings(path=str(folder), size=24, workers=1, cache_dir=str(tmp_path / "cache"))


def shards(settings):
    from pathlib import Path

    return sorted(
        path for path in Path(settings.cache_dir).glob("pixels_*.npy") if "unstained" not in path.name
    )


def test_pixels_are_the_same_with_and_without_a_cache(settings, table):
    cached = open_images(settings)
    assert len(shards(settings)) == 3
    for position in range(10):
        assert np.array_equal(cached.read_sized(position), table.read_sized(position))
    assert np.array_equal(cached.read(3), table.read(3))


def test_nothing_is_decoded_twice(settings):
    open_images(settings)
    assert open_images(settings).reader.prepare() == 0


def test_an_interrupted_preparation_goes_on_where_it_stopped(settings):
    open_images(settings)
    shards(settings)[0].unlink()
    assert open_images(settings).reader.n_shards == 3
    assert len(shards(settings)) == 3


def test_another_size_fit_or_stain_has_shards_of_its_own(settings):
    open_images(settings)
    for changed in ({"size": 20}, {"fit": "pad"}, {"stain": "reinhard"}):
        open_images(settings.replace(**changed))
    assert len(shards(settings)) == 12


def test_a_changed_image_is_seen(settings, folder, cell, write):
    before = open_images(settings).read_sized(0).copy()
    write(folder / "blast" / "1.png", cell(1) // 2)
    assert not np.array_equal(open_images(settings).read_sized(0), before)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY damaged", b"shorter"])
def test_a_damaged_shard_is_written_again(settings, table, damage):
    open_images(settings)
    victim = shards(settings)[1]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:500] if damage == b"shorter" else damage)
    again = open_images(settings)
    assert victim.read_bytes() == whole
    assert all(np.array_equal(again.read_sized(i), table.read_sized(i)) for i in range(10))


def test_two_processes_prepare_the_same_images(settings, table):
    code = (
        "import sys\nfrom trilineage.data.images.open import open_images\n"
        "from trilineage.data.images.settings import ImageDataSettings\n"
        "open_images(ImageDataSettings(path=sys.argv[1], size=24, workers=1, cache_dir=sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", code, settings.path, settings.cache_dir]
    running = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert len(shards(settings)) == 1
    assert not list(shards(settings)[0].parent.glob(".*"))


def test_a_place_that_cannot_be_written_is_a_named_error(settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        open_images(settings.replace(cache_dir=str(tmp_path / "file" / "cache")))


def test_images_without_a_stain_are_remembered(settings, folder, write):
    write(folder / "blast" / "blank.png", np.full((32, 32, 3), 240, np.uint8))
    stained = settings.replace(stain="reinhard")
    assert open_images(stained).left_unstained() == ("blast/blank.png",)
    assert open_images(stained).left_unstained() == ("blast/blank.png",)


def test_damaged_findings_are_found_again(settings):
    from pathlib import Path

    first = open_images(settings)
    for path in Path(settings.cache_dir).glob("looks_*.json"):
        path.write_text('{"x": 3}')
    assert open_images(settings).fingerprint == first.fingerprint
