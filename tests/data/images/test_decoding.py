"""Images of every kind become red, green and blue; what is no image, or too large, is refused with a reason."""

import io
import struct
import subprocess
import sys
import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from trilineage.core.errors import ImageError
from trilineage.data.images.decoding import FORMATS, decode, decode_sized, fitted, probe


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG of a few kilobytes whose header claims a size, with rows of zeros that would fill some of it."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def picture(cell) -> Image.Image:
    return Image.fromarray(cell(3))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
def test_formats_without_loss_give_back_their_pixels(picture, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decode(encoded(picture, kind, **options)), np.asarray(picture))


def test_a_jpeg_is_close_to_what_was_saved(picture):
    decoded = decode(encoded(picture, "JPEG", quality=98, subsampling=0)).astype(int)
    assert np.abs(decoded - np.asarray(picture)).mean() < 2


def test_transparency_lies_on_white(picture):
    see_through = picture.convert("RGBA")
    see_through.putalpha(Image.fromarray(np.tile(np.uint8([[0], [255]]), (16, 32))))
    decoded = decode(encoded(see_through, "PNG"))
    assert (decoded[0::2] == 255).all()
    assert np.array_equal(decoded[1::2], np.asarray(picture)[1::2])


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK", "YCbCr"])
def test_other_kinds_of_colour_become_red_green_and_blue(picture, mode):
    source = picture.convert("L").convert("LA") if mode == "LA" else picture.convert(mode)
    decoded = decode(encoded(source, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"))
    assert decoded.shape == (32, 32, 3)
    assert (
        decoded[12:20, 12:20].mean() < decoded[:3, 14:18].mean()
    )  # the cell is darker than the background, so nothing was turned round


def test_a_cmyk_jpeg_keeps_its_colours(picture):
    decoded = decode(encoded(picture.convert("CMYK"), "JPEG", quality=98)).astype(int)
    assert np.abs(decoded - np.asarray(picture)).mean() < 6


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_greys_of_many_bits_come_to_eight(bits):
    grey = np.linspace(0, 2**bits - 1, 32 * 32).reshape(32, 32).astype(np.uint16)
    decoded = decode(encoded(Image.fromarray(grey), "PNG" if bits == 16 else "TIFF"))
    assert np.abs(decoded[..., 0] - grey / 2.0 ** (bits - 8)).max() <= 1


@pytest.mark.parametrize("top", [1.0, 200.0, 1e6])
def test_greys_in_floating_point_come_to_eight_bits(top):
    grey = np.linspace(0, top, 100, dtype=np.float32).reshape(10, 10)
    decoded = decode(encoded(Image.fromarray(grey), "TIFF"))[..., 0].ravel()
    assert (np.diff(decoded.astype(int)) >= 0).all()
    assert decoded[-1] == (200 if top == 200.0 else 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_taken(picture, kind):
    black = Image.new("RGB", picture.size)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(picture, kind, save_all=True, append_images=[black], **options)
    assert np.abs(decode(data).astype(int) - np.asarray(picture)).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turn_of_the_camera_is_undone(picture, orientation):
    from PIL import ImageOps

    tall = picture.crop((0, 0, 20, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(tall, "PNG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(decode(data), np.asarray(upright))
    assert probe(data)[:2] == upright.size


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_an_image_fits_the_working_size(picture, fit):
    wide = picture.resize((64, 32))
    assert decode_sized(encoded(wide, "PNG"), (20, 24), fit).shape == (20, 24, 3)


def test_cropping_keeps_the_middle_and_padding_the_whole():
    stripes = np.zeros((20, 40, 3), np.uint8)
    stripes[:, 10:30] = 255
    assert (fitted(Image.fromarray(stripes), (20, 20), "crop") == 255).all()
    padded = fitted(Image.fromarray(stripes), (20, 20), "pad")
    assert padded[10, 10, 0] == 255
    assert (padded[[0, -1]] == 0).all()


@pytest.mark.parametrize("shape", [(24, 24), (20, 31), (48, 40), (32, 7), (1, 1), (300, 200)])
def test_resizing_is_what_pillow_does(picture, shape):
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    for image in (picture, Image.fromarray(noise)):
        expected = np.asarray(image.resize(shape[::-1], Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(fitted(image, shape, "squash") - expected).max() <= 1


def test_cropping_is_what_pillow_does_with_a_box(picture):
    wide = picture.resize((61, 33))
    expected = wide.resize((20, 20), Image.Resampling.BILINEAR, box=(14, 0, 47, 33))
    assert np.abs(fitted(wide, (20, 20), "crop") - np.asarray(expected).astype(int)).max() <= 1


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_a_jpeg_decoded_at_half_its_size_is_nearly_the_same(real_data, fit):
    path = next((real_data / "images" / "pbc_barcelona" / "images" / "monocyte").glob("*.jpg"))
    data = path.read_bytes()
    quick = decode_sized(data, (144, 144), fit).astype(int)
    whole = fitted(Image.open(path).convert("RGB"), (144, 144), fit)
    assert np.abs(quick - whole).mean() < 1.5


def test_a_decompression_bomb_is_refused_at_once_and_in_little_memory(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_claiming(20_000, 20_000))
    code = """
import resource, sys, time
from trilineage.core.errors import ImageError
from trilineage.data.images.decoding import decode
from pathlib import Path
data = Path(sys.argv[1]).read_bytes()
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
try:
    decode(data)
except ImageError as error:
    print(error)
print(time.perf_counter() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "bomb.png"], capture_output=True, text=True, check=True
    )
    message, figures = done.stdout.splitlines()
    seconds, megabytes = map(float, figures.split())
    assert "too many pixels" in message
    assert seconds < 1
    assert megabytes < 200


def test_a_limit_of_pixels_holds_before_decoding(picture):
    with pytest.raises(ImageError, match="32 x 32; allowed: at most 1,000"):
        decode(encoded(picture, "PNG"), max_pixels=1000)


@pytest.mark.parametrize("size", [(9500, 9500), (60_000, 60_000)])
def test_what_pillow_takes_for_a_bomb_is_an_image_error(size):
    with pytest.raises(ImageError, match="too many pixels"):
        probe(png_claiming(*size))


@pytest.mark.parametrize("data", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(ImageError, match="empty|not an image"):
        probe(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_an_image_cut_short_is_found_out(picture, kind):
    data = encoded(picture, kind)
    with pytest.raises(ImageError, match="damaged or cut short|not an image"):
        probe(data[: len(data) * 6 // 10], decode=True)


@given(st.sampled_from(FORMATS), st.data())
def test_damaged_bytes_never_raise_anything_else(picture, kind, data):
    mutated = bytearray(encoded(picture, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode(bytes(mutated), max_pixels=1_000_000)
    except ImageError:
        return
    assert pixels.dtype == np.uint8
