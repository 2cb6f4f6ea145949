"""Codes on disk: written in parts, gone on with after a kill, and refused where they are another's or altered."""

from dataclasses import replace

import numpy as np
import pytest

from trilineage.core.errors import AlteredFileError, ArtifactError, DataError, NewerVersionError
from trilineage.data.codes import store as module
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.data.codes.store import CodeSource, CodeStore

SOURCE = CodeSource("sae", "encoder", "images", tau=0.2, n_latents=3, n_patches=1, has_cls=False)
SCORES = np.random.default_rng(0).random((10, 3)).clip(0.4) - 0.4


@pytest.fixture
def batches(from_scores):
    whole = from_scores(SCORES)
    return lambda first=0: (whole.subset(np.arange(i, min(i + 2, 10))) for i in range(first, 10, 2))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "_IMAGES_PER_PART", 4)


def test_parts_hold_what_was_given(tmp_path, batches):
    store = CodeStore(tmp_path / "codes", SOURCE)
    store.extend(batches())
    opened = CodeStore(tmp_path / "codes")
    assert (len(opened), opened.n_parts, opened.source) == (10, 3, SOURCE)
    found = ImageCodes.concatenate(list(opened.iterate()))
    assert found.positions.tolist() == list(range(10))
    assert np.allclose(found.matrix("mean").toarray(), SCORES)


def test_a_part_without_its_marker_is_written_again(tmp_path, batches):
    CodeStore(tmp_path, SOURCE).extend(batches())
    (tmp_path / "codes_00001.json").unlink()
    (tmp_path / "codes_00001.npz").write_bytes(b"half")
    store = CodeStore(tmp_path, SOURCE)
    assert len(store) == 4  # what comes after a gap does not count
    store.extend(batches(len(store)))
    assert np.allclose(ImageCodes.concatenate(list(store.iterate())).matrix("mean").toarray(), SCORES)


def test_an_altered_part_is_refused(tmp_path, batches):
    store = CodeStore(tmp_path, SOURCE)
    store.extend(batches())
    (tmp_path / "codes_00002.npz").write_bytes(b"other")
    with pytest.raises(AlteredFileError, match="codes_00002"):
        list(store.iterate())


def test_an_image_twice_and_codes_of_another_kind_are_refused(tmp_path, batches):
    store = CodeStore(tmp_path, SOURCE)
    store.extend(batches())
    with pytest.raises(DataError, match="after position 9"):
        store.append(next(batches()))
    with pytest.raises(DataError, match="do not belong"):
        CodeStore(tmp_path).append(replace(next(batches()), tau=0.5))


def test_folders_of_other_codes_are_refused(tmp_path, batches):
    with pytest.raises(ArtifactError, match="holds no codes"):
        CodeStore(tmp_path)
    CodeStore(tmp_path, SOURCE)
    with pytest.raises(ArtifactError, match="dictionary_key"):
        CodeStore(tmp_path, replace(SOURCE, dictionary_key="another"))
    header = tmp_path / "codes.json"
    text = header.read_text()
    header.write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(NewerVersionError):
        CodeStore(tmp_path)
    header.write_text(text.replace('"tau"', '"tao"'))
    with pytest.raises(ArtifactError, match="no tau"):
        CodeStore(tmp_path)
    header.write_text("{")
    with pytest.raises(ArtifactError, match="cannot be read"):
        CodeStore(tmp_path)
