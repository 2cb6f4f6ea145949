"""One look at an image: its background is the ground between the cells, and what cannot be read says why."""

import numpy as np
import pytest

from trilineage.data.images.open import list_images
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.inspection.looking import SIDE, background, look_through


@pytest.mark.parametrize("ground", [(253, 227, 201), (229, 221, 229)])
def test_the_background_is_the_ground_and_no_cell(ground, cell):
    assert np.abs(background(cell(3, background=ground)) - ground).max() < 4


def test_a_look_gives_digest_size_and_grey_copy(laid, cell):
    folder = laid({"a/1.png": cell(1), "a/2.png": cell(1), "b/3.png": cell(2, side=70)})
    looks = look_through(list_images(ImageDataSettings(path=str(folder))), ImageDataSettings(workers=1))
    assert looks.is_readable.all()
    assert looks.sizes.tolist() == [[96, 96], [96, 96], [70, 70]]
    assert looks.content[0] == looks.content[1] != looks.content[2]
    assert looks.greys.shape == (3, SIDE, SIDE)


def test_what_cannot_be_read_says_why_and_stops_nobody(laid, cell):
    folder = laid({"a/1.png": cell(1)})
    (folder / "a" / "2.png").write_bytes(b"")
    (folder / "a" / "3.png").write_bytes((folder / "a" / "1.png").read_bytes()[:500])
    looks = look_through(list_images(ImageDataSettings(path=str(folder))), ImageDataSettings(workers=1))
    assert looks.is_readable.tolist() == [True, False, False]
    assert "empty" in looks.reasons[1]
    assert "damaged" in looks.reasons[2]


def test_images_in_an_array_are_looked_at_too(tmp_path, cell):
    images = np.stack([cell(n, side=28) for n in range(3)])
    np.savez(tmp_path / "t.npz", images=images, labels=np.array(["a", "b", "a"]))
    looks = look_through(
        list_images(ImageDataSettings(path=str(tmp_path / "t.npz"))), ImageDataSettings(workers=1)
    )
    assert looks.sizes.tolist() == [[28, 28]] * 3
    assert len(set(looks.content.tolist())) == 3
