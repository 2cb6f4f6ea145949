"""A folder of tokens that are plain numbers: ten images of five tokens, three images to a shard."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from trilineage.data.tokens.shards import TokenFolder, write_shard
from trilineage.data.tokens.source import TokenSource

SOURCE = TokenSource(
    backbone="small_vit",
    weights="a" * 64,
    block=4,
    image_size=(16, 16),
    grid=(2, 2),
    n_prefix=1,
    keep="both",
    width=3,
    dtype="float16",
    images="b" * 64,
)


def numbers(n_images, first=0):
    """Token t of image i is (i, t, 1)."""
    images, tokens = np.mgrid[first : first + n_images, : SOURCE.n_tokens]
    return np.stack([images, tokens, np.ones_like(images)], axis=2).astype(np.float16)


def fill(folder, shards, *, tokens=numbers):
    """Write shards of such tokens."""
    clock = itertools.count().__next__
    for number in shards:
        images = folder.images_of(number)
        with write_shard(folder, number, clock=clock) as writer:
            values = tokens(len(images), images.start)
            writer.add(values, np.linalg.norm(values.astype(np.float32), axis=2))


@pytest.fixture
def source():
    """What the tokens are of."""
    return SOURCE


@pytest.fixture
def made(tmp_path):
    """Return the function that makes a folder of tokens and fills some of its shards."""

    def make(shards=(0, 1, 2, 3), name="tokens", *, tokens=numbers, **changes):
        folder = TokenFolder(tmp_path / name, replace(SOURCE, **changes), 10, 3)
        folder.write()
        fill(folder, shards, tokens=tokens)
        return folder

    return make


@pytest.fixture
def filled():
    """Return the function that fills shards of a folder."""
    return fill
