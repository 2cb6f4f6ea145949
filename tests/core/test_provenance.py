"""Provenance: versions without imports, and a time that can be read."""

import importlib.metadata
import json
from datetime import datetime

import numpy as np

from trilineage import __version__
from trilineage.core import provenance


def test_versions_are_those_installed():
    assert provenance.package_version() == __version__
    assert provenance.library_versions()["numpy"] == np.__version__


def test_a_library_that_is_absent_is_said_to_be(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(provenance, "version", absent)
    assert provenance.package_version() == "not installed"


def test_the_record_is_json_and_its_time_is_utc():
    record = json.loads(json.dumps(provenance.provenance()))
    assert set(record) == {"trilineage", "libraries", "python", "platform", "created"}
    assert datetime.fromisoformat(record["created"]).utcoffset().total_seconds() == 0
