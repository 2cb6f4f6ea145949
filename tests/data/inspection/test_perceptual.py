"""Near duplicates: every kind of copy is found, different cells never are, the search keeps its promise."""

import io

import numpy as np
import pytest
from PIL import Image

from trilineage.data.inspection import perceptual
from trilineage.data.inspection.perceptual import find_alike, laid_down

SIDE = 64


def grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def recompressed(picture):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=40)
    return np.asarray(Image.open(stream).convert("RGB"))


COPIES = {
    "recompressed": recompressed,
    "brighter": lambda picture: (picture * 0.85 + 20).astype(np.uint8),
    "smaller": lambda picture: np.asarray(Image.fromarray(picture).resize((70, 70))),
    "shifted": lambda picture: np.roll(picture, (5, -4), axis=(0, 1)),
    "turned": lambda picture: np.rot90(picture),
    "upside down": lambda picture: picture[::-1],
    "mirrored": lambda picture: picture[:, ::-1],
    "mirrored and turned": lambda picture: np.rot90(picture[:, ::-1], 3),
}


@pytest.fixture(scope="module")
def cells(cell):
    return np.stack([grey(cell(number)) for number in range(60)])


def test_different_cells_are_never_taken_for_one(cells):
    assert len(find_alike(cells).first) == 0


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_found_whatever_was_done_to_it(kind, cells, cell):
    copy = grey(np.ascontiguousarray(COPIES[kind](cell(7))))
    alike = find_alike(np.concatenate([cells, copy[None]]))
    assert (alike.first.tolist(), alike.second.tolist()) == ([7], [60])
    assert alike.is_turned.tolist() == [any(word in kind for word in ("turned", "mirrored", "upside"))]
    assert alike.correlation[0] > 0.95


def test_turned_copies_can_be_left_alone(cells):
    copies = np.concatenate([cells, np.rot90(cells[3])[None]])
    assert len(find_alike(copies, is_turned_searched=False).first) == 0


def test_a_copy_of_half_of_the_cell_does_not_count(cells):
    half = cells[5].copy()
    half[:, 32:] = cells[6][:, 32:]
    assert len(find_alike(np.concatenate([cells, half[None]])).first) == 0


def test_blank_images_are_no_copies_of_each_other():
    blank = np.full((4, SIDE, SIDE), 230, dtype=np.uint8)
    assert len(find_alike(blank).first) == 0


def test_no_images_have_no_pairs():
    assert len(find_alike(np.zeros((0, SIDE, SIDE), dtype=np.uint8)).first) == 0


@pytest.mark.parametrize("distance", [0, 3, 7])
def test_the_search_by_blocks_finds_what_comparing_all_with_all_finds(distance):
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**63, 300, dtype=np.uint64)
    for position in range(1, 300, 3):  # neighbours at every distance up to 9 bits
        bits = generator.choice(64, position % 10, replace=False)
        hashes[position] = hashes[position - 1] ^ np.uint64(sum(1 << int(bit) for bit in bits))
    distances = np.bitwise_count(hashes[:, None] ^ hashes[None])
    expected = np.argwhere(np.triu(distances <= distance, 1))
    assert np.array_equal(perceptual._Index(hashes).near(hashes, distance), expected)
    assert len(expected) > 5


def test_the_eight_ways_to_lay_an_image_down_are_all_different(cells):
    ways = {laid_down(cells[:1], turn).tobytes() for turn in range(8)}
    assert len(ways) == 8
    assert np.array_equal(laid_down(cells[:1], 0), cells[:1])
