"""What an encoder has learned from is known by the bytes of the files, whatever they are called."""

import shutil

import numpy as np
import pytest
from PIL import Image

from trilineage.core.artifacts import Run
from trilineage.data.images.open import open_images
from trilineage.data.images.settings import ImageDataSettings
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.encoder import EncoderSettings
from trilineage.models.encoder_origin import is_learned, learned_contents, write_learned


def contents(folder):
    return open_images(ImageDataSettings(path=str(folder), size=16)).content_numbers


@pytest.fixture
def drawn(tmp_path):
    """Two images of random pixels, called a and b."""
    folder = tmp_path / "drawn"
    (folder / "cells").mkdir(parents=True)
    for seed, name in enumerate("ab"):
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "cells" / f"{name}.png")
    return folder


@pytest.fixture
def learned(drawn, tmp_path):
    """Settings of an encoder that has learned from both."""
    run = Run.create(tmp_path / "run", kind="images.pretrain", config=BackboneSettings(), seed=0)
    write_learned(run, contents(drawn))
    return EncoderSettings(run=str(run.path))


def test_the_same_bytes_under_another_name_are_known(learned, drawn, tmp_path):
    (tmp_path / "other" / "cells").mkdir(parents=True)
    shutil.copy(drawn / "cells" / "a.png", tmp_path / "other" / "cells" / "z.png")
    assert is_learned(learned, contents(tmp_path / "other")).tolist() == [True]


def test_other_bytes_under_the_same_name_are_not_known(learned, drawn):
    Image.new("RGB", (16, 16), "white").save(drawn / "cells" / "a.png")
    assert is_learned(learned, contents(drawn)).tolist() == [False, True]


def test_a_run_given_as_weights_is_asked_too(learned, drawn):
    settings = EncoderSettings(backbone=BackboneSettings(name="small_vit", weights=learned.run))
    assert is_learned(settings, contents(drawn)).all()


def test_nothing_is_known_of_a_network_that_is_named(drawn):
    settings = EncoderSettings(backbone=BackboneSettings(name="small_vit"))
    assert not is_learned(settings, contents(drawn)).any()


def test_a_run_that_does_not_say_what_it_learned_from_knows_nothing(drawn, tmp_path):
    run = Run.create(tmp_path / "run", kind="images.pretrain", config=BackboneSettings(), seed=0)
    assert len(learned_contents(EncoderSettings(run=str(run.path)))) == 0


@pytest.mark.parametrize("settings", [EncoderSettings(), EncoderSettings(run="bundled")])
def test_the_bundled_encoder_knows_its_training_images_and_no_test_image(settings, real_data):
    folder = real_data / "images" / "pbc_144"
    asked = {"path": str(folder), "verify": "header", "limit_per_class": 12, "keep": ("acquisition_group=A",)}
    table = open_images(ImageDataSettings(**asked))
    known = is_learned(settings, table.content_numbers)
    assert known.tolist() == (table.parts == "train").tolist()
