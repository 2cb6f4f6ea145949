"""A fit of concepts that is killed in any of its stages goes on where it was and ends with the same results."""

import os
import signal

import pytest

from trilineage.core.errors import Interrupted
from trilineage.data.codes.store import CodeStore
from trilineage.data.tokens.shards import TokenFolder, TokenShardWriter
from trilineage.pipelines import concepts
from trilineage.pipelines._concepts import coding, dictionary, results
from trilineage.training.checkpoint import CheckpointStore


class Killed(BaseException):
    """Stands for SIGKILL: no one catches it."""


def killed_fit(config, out, owner, name, n_calls):
    """Fit until a function was called a number of times and is called once more."""
    function, calls = getattr(owner, name), []

    def deadly(*given, **options):
        if len(calls) == n_calls:
            raise Killed
        calls.append(1)
        return function(*given, **options)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, name, deadly)
        concepts.fit(config, out, device="cpu")


def counted(monkeypatch, owner, name):
    """Return the list that grows with every call of a function."""
    calls, function = [], getattr(owner, name)
    monkeypatch.setattr(
        owner, name, lambda *given, **options: (calls.append(1), function(*given, **options))[1]
    )
    return calls


def test_a_fit_killed_in_every_stage_ends_with_the_same_results(
    quick_concepts, fitted_concepts, require_same, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    config = quick_concepts.replace(
        **{"training.checkpoint_every_s": 0.0, "concepts.controls": ("neurons",), "barcode.classify": False}
    )
    killed_fit(config, out, TokenShardWriter, "add", 2)
    assert TokenFolder.read(out / "tokens").unfinished() == [2, 3]
    assert not (out / "checkpoints").exists()
    killed_fit(config, out, CheckpointStore, "save", 12)
    assert list((out / "checkpoints").rglob("*.safetensors"))
    killed_fit(config, out, CodeStore, "append", 1)
    assert [path.name for path in (out / "codes").rglob("*.npz")] == ["codes_00000.npz"]
    killed_fit(config, out, results, "_write_recovered", 0)
    added = counted(monkeypatch, TokenShardWriter, "add")
    appended = counted(monkeypatch, CodeStore, "append")
    steps = counted(monkeypatch, dictionary, "reconstruct")
    run = concepts.fit(config, out, device="cpu")
    assert (added, appended, steps) == ([], [], [])
    require_same(fitted_concepts, run)
    assert not (out / "codes").exists()


def test_sigterm_stops_the_extraction_with_finished_shards_kept(quick_concepts, tmp_path, monkeypatch):
    add, n_added = TokenShardWriter.add, []

    def stopping(writer, found, norms):
        add(writer, found, norms)
        n_added.append(len(found))
        if len(n_added) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(TokenShardWriter, "add", stopping)
    with pytest.raises(Interrupted, match="extraction of tokens was stopped; seen: SIGTERM"):
        concepts.fit(quick_concepts, tmp_path / "run", device="cpu")
    report = concepts.tokens(quick_concepts, tmp_path / "run" / "tokens", device="cpu")
    assert (report.n_before, report.n_images) == (36, 108)


def test_sigterm_stops_the_encoding_after_the_part_at_hand(quick_concepts, shuffled, tmp_path, monkeypatch):
    config = quick_concepts.replace(weights=str(shuffled[0]), **{"concepts.controls": ()})
    watched = coding._watched

    def stopping(batches, check):
        os.kill(os.getpid(), signal.SIGTERM)
        return watched(batches, check)

    monkeypatch.setattr(coding, "_watched", stopping)
    with pytest.raises(Interrupted, match="the encoding was stopped"):
        concepts.fit(config, tmp_path / "run", device="cpu")
    assert (tmp_path / "run" / "tokens").exists()
