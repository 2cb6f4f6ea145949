"""run.json: strict JSON, checked on reading, refused when newer or changed."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilineage.core.errors import AlteredFileError, ArtifactError, NewerVersionError
from trilineage.core.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    check_name,
    is_run,
    read_bytes,
    read_manifest,
    to_json,
    write_manifest,
)

MANIFEST = {
    "kind": "rna",
    "format_version": FORMAT_VERSION,
    "status": "running",
    "seed": 1,
    "config_sha256": "0" * 64,
    "files": {},
}


@dataclass
class Point:
    x: float
    y: Path


def test_a_manifest_is_read_back(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    manifest = read_manifest(tmp_path)
    assert {key: manifest[key] for key in MANIFEST} == MANIFEST
    assert is_run(tmp_path)


def test_a_newer_version_is_refused_with_a_sentence(tmp_path):
    write_manifest(tmp_path, MANIFEST | {"format_version": FORMAT_VERSION + 1, "trilineage": "9.0"})
    with pytest.raises(NewerVersionError, match=r"trilineage 9\.0.*Update trilineage"):
        read_manifest(tmp_path)


def test_a_changed_letter_is_noticed(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    path = tmp_path / MANIFEST_NAME
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(AlteredFileError, match="changed after"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, json.dumps(MANIFEST | {"files": 3}).encode()]
)
def test_a_damaged_manifest_is_refused(tmp_path, content):
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(ArtifactError, match="damaged"):
        read_manifest(tmp_path)
    assert not is_run(tmp_path)


def test_a_folder_without_manifest_is_no_run(tmp_path):
    with pytest.raises(ArtifactError, match="cannot read"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\\b", "c:x", "a\0b"])
def test_a_name_that_leaves_the_run_is_refused(tmp_path, name):
    with pytest.raises(ArtifactError, match="leads out"):
        check_name(name)
    write_manifest(tmp_path, MANIFEST | {"files": {name: "0" * 64}})
    with pytest.raises(ArtifactError, match="leads out"):
        read_manifest(tmp_path)


def test_a_file_larger_than_it_can_be_is_refused(tmp_path):
    (tmp_path / "big").write_bytes(bytes(11))
    assert read_bytes(tmp_path / "big", 11) == bytes(11)
    with pytest.raises(ArtifactError, match="too large"):
        read_bytes(tmp_path / "big", 10)


def test_json_is_strict_and_plain():
    value = {
        "nan": float("nan"),
        "inf": np.float32("inf"),
        "array": np.array([[1, 2]]),
        "point": Point(1.5, Path("a/b")),
        "set": {"b", "a"},
        3: (np.int64(1), None, True),
    }
    assert json.loads(to_json(value)) == {
        "nan": None,
        "inf": None,
        "array": [[1, 2]],
        "point": {"x": 1.5, "y": "a/b"},
        "set": ["a", "b"],
        "3": [1, None, True],
    }


def test_what_has_no_json_form_is_refused():
    with pytest.raises(ArtifactError, match="object"):
        to_json({"a": object()})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_plain_values_are_kept_as_they_are(value):
    text = to_json(value)
    assert json.loads(text) == value
    assert to_json(json.loads(text)) == text
