"""The machine is described without measuring, and limits of a container count."""

import os
from pathlib import Path

from trilineage.core import machine
from trilineage.core.machine import free_bytes, this_machine, usable_cores


def test_this_machine_has_a_processor_cores_and_memory():
    found = this_machine()
    assert found.processor
    assert 1 <= found.n_cores <= (os.cpu_count() or 1)
    assert found.memory_bytes is None or found.memory_bytes >= (found.available_bytes or 0) > 0


def test_the_quota_of_a_container_limits_cores_and_memory(tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    assert usable_cores() == 1
    assert this_machine().memory_bytes == 1_000_000


def test_no_limit_is_no_limit(tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    assert usable_cores() >= 1
    assert (this_machine().memory_bytes or 10**9) > 10**8


def test_free_space_is_that_of_the_disk_where_a_folder_would_lie(tmp_path):
    assert free_bytes(tmp_path / "not" / "there") is not None
    assert free_bytes(Path("/")) is not None
