"""The doctor says what is here, what is missing and for which command, and leaves with 1 if something does not work."""

import importlib.metadata
import json
import shutil

import pytest

from trilineage.cli import checkup
from trilineage.cli.checkup import Check, check_everything, is_ready
from trilineage.core.errors import ArtifactError
from trilineage.models.backbones import bundled


@pytest.fixture
def found(monkeypatch):
    """Look again, after something was changed."""
    return lambda: {check.name: check for check in check_everything()}


def test_a_sound_installation_is_ready(trilineage):
    result = trilineage("doctor", "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, said["is_ready"]) == (0, True)
    names = {check["name"] for check in said["checks"]}
    assert {"python", "numpy", "torch", "processor", "memory", "GPU", "cache of downloads"} <= names
    assert "Nothing that is needed is missing." in result.stderr


def test_a_library_that_is_missing_or_too_old_is_a_problem(found, monkeypatch):
    real = importlib.metadata.version
    fakes = {"h5py": "1.0.0"}

    def version(name):
        if name == "zarr":
            raise importlib.metadata.PackageNotFoundError
        return fakes.get(name) or real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    checks = found()
    assert (checks["zarr"].status, checks["zarr"].remedy) == ("problem", "pip install zarr")
    assert checks["h5py"].remedy.startswith("pip install --upgrade 'h5py>=3.")
    assert not is_ready(list(checks.values()))


def test_a_damaged_encoder_is_a_problem_and_says_for_whom(found, monkeypatch):
    def broken():
        raise ArtifactError("weights were changed")

    monkeypatch.setattr(bundled, "bundled_run", broken)
    check = found()["bundled encoder"]
    assert (check.status, check.found) == ("problem", "weights were changed.")
    assert "trilineage concepts fit" in check.needed_for


def test_a_full_disk_is_a_problem_and_a_small_one_a_note(found, monkeypatch):
    for free, status in ((10**8, "problem"), (10**9, "note"), (10**11, "ok")):
        monkeypatch.setattr(checkup, "free_bytes", lambda folder, free=free: free)
        assert found()["working folder"].status == status


def test_programs_that_are_missing_are_notes_only(found, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *words, **more: None)
    checks = found()
    assert (checks["Chromium"].status, checks["torchrun"].status) == ("note", "note")
    assert is_ready([checks["Chromium"], checks["torchrun"]])


def test_it_leaves_with_1_and_names_the_problem(trilineage, monkeypatch):
    bad = Check("zarr", "problem", "not installed", "pip install zarr", ("trilineage rna fit",))
    monkeypatch.setattr(checkup, "check_everything", lambda: [bad])
    result = trilineage("doctor")
    assert result.exit_code == 1
    assert "zarr: pip install zarr (for trilineage rna fit)" in result.stdout
    assert "1 problem." in result.stdout


def test_a_cache_is_added_up_for_a_moment_only(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"x" * 20_000_000)
    assert checkup._size(tmp_path) == "0.0 GB"
    monkeypatch.setattr(checkup, "WALK_S", -1.0)
    assert checkup._size(tmp_path) == "at least 0.0 GB"
    assert checkup._size(tmp_path / "none") == "nothing"
