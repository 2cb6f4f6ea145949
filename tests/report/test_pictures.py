"""Pictures come into the page as data, never too many, never what is no PNG."""

import base64

import pytest

from trilineage.core.errors import AlteredFileError
from trilineage.report.pictures import Wanted, pictures_of, png_size


@pytest.fixture
def run(bare_image_run, image_runs):
    for number in range(4):
        bare_image_run.write_bytes(f"p{number}.png", image_runs.png((number, 0, 0), size=(20, 10)))
    return bare_image_run


def wanted(*names: str) -> list[Wanted]:
    return [Wanted(name, f"picture {name}") for name in names]


def test_a_picture_is_the_file_itself_with_its_size(run, image_runs):
    (picture,) = pictures_of(run, wanted("p1.png"), limit=9)
    head, data = picture.data_uri.split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == image_runs.png((1, 0, 0), size=(20, 10))
    assert (picture.width, picture.height) == (20, 10)


def test_no_more_pictures_than_the_limit(run):
    found = pictures_of(run, wanted("p0.png", "p1.png", "p2.png"), limit=2)
    assert [picture.description for picture in found] == ["picture p0.png", "picture p1.png"]


def test_no_more_bytes_than_there_is_room_for(run):
    size = len(run.read_bytes("p0.png"))
    assert len(pictures_of(run, wanted("p0.png", "p1.png"), limit=9, max_bytes=size)) == 1


def test_what_is_absent_or_no_png_is_left_out(run):
    run.write_bytes("evil.png", b"<svg onload='alert(1)'>")
    assert len(pictures_of(run, wanted("absent.png", "evil.png", "p3.png"), limit=9)) == 1


def test_a_picture_that_was_changed_is_refused(run):
    (run.path / "p0.png").write_bytes(run.read_bytes("p1.png"))
    with pytest.raises(AlteredFileError, match=r"p0\.png"):
        pictures_of(run, wanted("p0.png"), limit=9)


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + b"0" * 40, b"\x89PNG\r\n\x1a\n" + b"0" * 40]
)
def test_what_is_no_png_has_no_size(data):
    assert png_size(data) is None


def test_a_png_without_pixels_has_no_size(image_runs):
    data = bytearray(image_runs.png())
    data[16:20] = bytes(4)
    assert png_size(bytes(data)) is None
