"""Weights: the same bytes every time, and nothing believed that was not checked."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load as reference_load

from trilineage.core.errors import ArtifactError, UnsafeFileError
from trilineage.core.weights import decode_metadata, decode_weights, encode_weights

arrays = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_]),
    hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
)


def file_with_header(header: bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + body


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), arrays, max_size=4))
def test_what_is_written_is_read_back(tensors):
    tensors.pop("__metadata__", None)
    again = decode_weights(encode_weights(tensors))
    assert sorted(again) == sorted(tensors)
    for name, array in tensors.items():
        assert again[name].dtype == array.dtype
        np.testing.assert_array_equal(again[name], array)


def test_the_reference_library_reads_our_bytes():
    tensors = {"w": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    np.testing.assert_array_equal(reference_load(encode_weights(tensors, {"a": "b"}))["w"], tensors["w"])


def test_equal_weights_give_equal_bytes_whatever_their_order():
    first = {"b": np.zeros(3), "a": np.ones(2, np.float32)}
    texts = {f"key{n}": "x" for n in range(20)}
    reversed_texts = dict(reversed(texts.items()))
    assert encode_weights(first, texts) == encode_weights(dict(reversed(first.items())), reversed_texts)


def test_texts_travel_with_the_arrays():
    data = encode_weights({"w": np.zeros(2)}, {"genes": "A,B"})
    assert decode_metadata(data) == {"genes": "A,B"}
    assert decode_metadata(encode_weights({"w": np.zeros(2)})) == {}


def test_read_arrays_can_be_changed():
    array = decode_weights(encode_weights({"w": np.zeros(2)}))["w"]
    array[0] = 1
    assert array[0] == 1


def torch_like_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    return stream.getvalue()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_named_and_never_loaded(protocol):
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("the pickle was loaded",)

    with pytest.raises(UnsafeFileError, match="pickle"):
        decode_weights(pickle.dumps(Bomb(), protocol=protocol))


def test_an_archive_is_named_and_never_opened():
    with pytest.raises(UnsafeFileError, match="zip"):
        decode_weights(torch_like_zip())


def test_a_header_whose_length_looks_like_a_pickle_is_read():
    # 640 = 0x0280: the file begins with the two bytes of a pickle of protocol 2.
    data = encode_weights({"w": np.zeros(2)}, {"pad": ""})
    short = int.from_bytes(data[:8], "little")
    data = encode_weights({"w": np.zeros(2)}, {"pad": "x" * (640 - short)})
    assert data[:2] == b"\x80\x02"
    assert decode_weights(data)["w"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"(dp0\n.",  # a pickle of protocol 0, which has no mark of its own
        file_with_header(b"{}", length=2**63),
        file_with_header(b"{}", length=10**9),
        file_with_header(b"[]"),
        file_with_header(b"{" * 5000),
        file_with_header(b'{"w": 3}'),
        file_with_header(
            json.dumps({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]}}).encode()
        ),
        file_with_header(
            json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 2**60]}}).encode()
        ),
        file_with_header(
            json.dumps({"w": {"dtype": "XX", "shape": [2], "data_offsets": [0, 8]}}).encode(), bytes(8)
        ),
        file_with_header(
            json.dumps({"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}).encode(), bytes(8)
        ),
    ],
)
def test_bytes_that_are_no_sound_safetensors_are_refused(data):
    with pytest.raises(ArtifactError, match="not a sound safetensors file"):
        decode_weights(data)


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([object()]), np.array([1j])])
def test_only_plain_numbers_are_saved(array):
    with pytest.raises(ArtifactError, match="cannot be saved"):
        encode_weights({"w": array})


def test_no_mutation_of_the_bytes_escapes_as_another_error():
    data = encode_weights({"w": np.arange(50, dtype=np.float32), "b": np.zeros(3)}, {"k": "v"})
    random = np.random.default_rng(0)
    for _ in range(500):
        mutated = bytearray(data)
        for position in random.integers(
            0, len(data) if random.random() < 0.3 else 200, random.integers(1, 4)
        ):
            mutated[position] = random.integers(256)
        try:
            loaded = decode_weights(bytes(mutated[: random.integers(1, len(data) + 1)]))
        except ArtifactError:
            continue
        assert all(isinstance(array, np.ndarray) for array in loaded.values())
