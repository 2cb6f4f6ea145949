"""A Run: made once, continued if the same was asked, and never believed when a byte has changed."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.errors import (
    AlteredFileError,
    ArtifactError,
    ConfigError,
    NewerVersionError,
    StorageError,
    UnsafeFileError,
)
from trilineage.core.manifest import read_manifest, write_manifest
from trilineage.core.records import Comparison, Prediction, Score

ARCHIVE = Path(__file__).parent / "archives" / "run_v1"
"""Written by version 0.1.0 with `archived_content` below; never to be written again."""


class Recipe(Settings):
    n_latent: int = 4
    """Width."""
    label: str | None = None
    """Label."""


def create(path, **changes):
    settings = {"kind": "rna", "config": Recipe(), "seed": 3} | changes
    return Run.create(path, **settings)


@pytest.fixture
def run(tmp_path):
    return create(tmp_path / "run")


# ---- making and opening ------------------------------------------------------------------------------------


def test_a_new_run_says_what_was_asked(tmp_path):
    run = create(tmp_path / "a" / "run", command="trilineage rna fit", data={"path": "x.h5ad", "n_obs": 3})
    opened = Run.open(run.path, kind="rna")
    assert (opened.kind, opened.seed, opened.is_complete) == ("rna", 3, False)
    assert opened.config(Recipe) == Recipe()
    assert opened.manifest["command"] == "trilineage rna fit"
    assert opened.manifest["data"] == {"path": "x.h5ad", "n_obs": 3}
    assert {"trilineage", "libraries", "python", "platform", "created"} <= set(opened.manifest)


def test_the_same_request_continues_and_keeps_the_files(run):
    run.write_text("note.txt", "kept")
    again = create(run.path)
    assert again.read_text("note.txt") == "kept"


def test_a_finished_run_keeps_nothing_that_a_killed_process_left_half_written(run):
    half = [
        run.path / ".scores.json.0a1b.tmp.json",
        run.path / "weights" / ".fold0.safetensors.0a1b.tmp.safetensors",
    ]
    for path in half:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    run.write_json("scores.json", [])
    run.finish()
    assert not any(path.exists() for path in half)
    assert run.has("scores.json")


def test_a_finished_run_is_complete_and_is_handed_back_as_such(run):
    run.finish()
    assert create(run.path).is_complete
    assert Run.open(run.path).manifest["finished"] >= run.manifest["created"]


def test_another_configuration_is_refused_with_the_differing_keys(run):
    with pytest.raises(ConfigError, match=r"n_latent \(4 there, 8 asked\)"):
        create(run.path, config=Recipe(n_latent=8))
    with pytest.raises(ConfigError, match=r"label \(None there, 'AML' asked\)"):
        create(run.path, config=Recipe(label="AML"))
    with pytest.raises(ConfigError, match=r"seed \(3 there, 4 asked\)"):
        create(run.path, seed=4)


def test_other_data_under_the_same_name_is_refused(tmp_path):
    create(tmp_path / "run", data={"sha256": "a" * 64})
    with pytest.raises(ConfigError, match="content of the data"):
        create(tmp_path / "run", data={"sha256": "b" * 64})


def test_another_kind_is_refused(run):
    with pytest.raises(ArtifactError, match=r"seen: rna; allowed: images"):
        Run.open(run.path, kind="images")


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ArtifactError, match=r"thesis\.txt"):
            create(tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ArtifactError, match="not a Run"):
        create(tmp_path / "run")


def test_an_empty_folder_and_remains_of_a_killed_process_are_welcome(tmp_path):
    (tmp_path / ".run.json.0a1b.tmp.json").write_text("{")
    assert create(tmp_path).kind == "rna"


def test_overwriting_removes_a_run_and_starts_anew(run):
    run.write_text("note.txt", "old")
    again = create(run.path, config=Recipe(n_latent=8), overwrite=True)
    assert not again.has("note.txt")
    assert not (run.path / "note.txt").exists()


def test_a_damaged_run_is_not_overwritten(run):
    (run.path / "run.json").write_text("{}")
    with pytest.raises(ArtifactError, match="damaged"):
        create(run.path, overwrite=True)
    assert (run.path / "config.toml").exists()


def test_a_run_of_a_newer_version_is_refused(run):
    write_manifest(run.path, read_manifest(run.path) | {"format_version": 2, "trilineage": "7.1"})
    with pytest.raises(NewerVersionError, match=r"trilineage 7\.1"):
        Run.open(run.path)


def test_equal_configurations_have_equal_bytes(tmp_path):
    first, second = create(tmp_path / "a"), create(tmp_path / "b")
    assert (first.path / "config.toml").read_bytes() == (second.path / "config.toml").read_bytes()


# ---- files -------------------------------------------------------------------------------------------------


def test_json_has_no_nan(run):
    run.write_json("history.json", {"loss": [1.0, float("nan")]})
    assert b"NaN" not in (run.path / "history.json").read_bytes()
    assert run.read_json("history.json") == {"loss": [1.0, None]}


def test_a_table_is_read_back_as_texts(run):
    run.write_table("split.csv", {"sample": ["a,1", 'b"2'], "age": np.array([1.5, np.nan]), "n": [3, None]})
    assert run.read_table("split.csv") == {"sample": ["a,1", 'b"2'], "age": ["1.5", ""], "n": ["3", ""]}


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=4))
def test_any_text_survives_a_table(tmp_path, texts):
    run = create(tmp_path / "run")
    run.write_table("table.csv", {"text": texts, "n": range(len(texts))})
    assert run.read_table("table.csv")["text"] == texts


def test_an_empty_table_keeps_its_columns(run):
    run.write_table("table.csv", {"a": [], "b": []})
    assert run.read_table("table.csv") == {"a": [], "b": []}


def test_columns_of_different_length_are_refused(run):
    with pytest.raises(ArtifactError, match="differ in length"):
        run.write_table("table.csv", {"a": [1], "b": [1, 2]})


def test_arrays_and_weights_are_read_back(run):
    run.write_arrays("x.npz", counts=np.arange(3), names=np.array(["a", "bc"], dtype=object))
    run.write_weights("model", {"w": np.ones((2, 3), np.float32)}, {"genes": "2"})
    assert run.read_arrays("x.npz")["counts"].tolist() == [0, 1, 2]
    assert run.read_arrays("x.npz")["names"].tolist() == ["a", "bc"]
    assert run.read_weights("model")["w"].shape == (2, 3)
    assert run.read_weights_metadata("model") == {"genes": "2"}


def test_the_same_arrays_give_the_same_bytes(run):
    run.write_arrays("a.npz", x=np.arange(9))
    run.write_arrays("b.npz", x=np.arange(9))
    assert (run.path / "a.npz").read_bytes() == (run.path / "b.npz").read_bytes()


def test_objects_are_not_saved_as_arrays(run):
    with pytest.raises(ArtifactError, match="cannot be saved"):
        run.write_arrays("x.npz", when=np.array(["2020-01-01"], dtype="datetime64[D]"))


def test_scores_are_added_and_replaced_but_never_doubled(run):
    run.add_scores([Score("accuracy", 0.5, 0.4, 0.6), Score("mcc", float("nan"), None, None)])
    run.add_scores([Score("accuracy", 0.7, 0.6, 0.8), Score("accuracy", 0.1, 0.0, 0.2, subject="null")])
    found = run.scores()
    assert [(score.metric, score.subject) for score in found] == [
        ("accuracy", "model"),
        ("mcc", "model"),
        ("accuracy", "null"),
    ]
    assert found[0].value == 0.7
    assert np.isnan(found[1].value)


def test_comparisons_are_read_back_in_their_own_file(run):
    comparison = Comparison("accuracy", "model", "baseline: majority", 0.2, 0.1, 0.3, p_value=0.01)
    run.add_comparisons([comparison], "transfer/comparisons.json")
    assert run.comparisons("transfer/comparisons.json") == [comparison]
    assert run.comparisons() == []


@pytest.mark.parametrize("labels", [None, np.array([0, -1])])
def test_predictions_are_read_back(run, labels):
    names = np.array(["c1", "c2"])
    written = Prediction(
        names, np.array(["p", "p"]), ("AML", "healthy"), np.array([[0.25, 0.75], [1, 0]]), labels
    )
    run.write_predictions(written)
    read = run.predictions()
    assert read.classes == written.classes
    for field in ("samples", "patients", "probabilities", "labels"):
        np.testing.assert_array_equal(getattr(read, field), getattr(written, field))


def test_a_file_of_another_library_is_registered(run):
    (run.path / "out.bin").write_bytes(b"abc")
    run.register("out.bin")
    assert run.read_bytes("out.bin") == b"abc"


def test_two_holders_of_a_run_do_not_lose_each_others_files(run):
    other = Run.open(run.path)
    run.write_text("a.txt", "a")
    other.write_text("b.txt", "b")
    assert {"a.txt", "b.txt"} <= set(Run.open(run.path).manifest["files"])


def test_an_absent_file_is_named_with_those_there_are(run):
    assert not run.has("scores.json")
    with pytest.raises(ArtifactError, match=r"no scores\.json; allowed: config\.toml"):
        run.read_json("scores.json")


def test_a_name_that_leaves_the_run_is_refused(run):
    with pytest.raises(ArtifactError, match="leads out"):
        run.write_text("../outside.txt", "x")


# ---- killed, full, altered, unsafe -------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


@pytest.mark.parametrize("nth", range(3))
def test_a_process_killed_between_any_two_renames_leaves_a_readable_run(run, monkeypatch, nth):
    run.write_text("note.txt", "old")
    calls = iter(range(100))
    replace = os.replace

    def dying_replace(source, target):
        if next(calls) == nth:
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying_replace)
        with pytest.raises(Killed):
            run.write_text("note.txt", "new")
    assert create(run.path).read_text("note.txt") == ("old" if nth < 2 else "new")


@pytest.mark.parametrize("nth", range(1, 4))
def test_a_process_killed_while_making_a_run_can_be_repeated(tmp_path, monkeypatch, nth):
    calls = iter(range(100))
    replace = os.replace

    def dying_replace(source, target):
        if next(calls) == nth:
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying_replace)
        with pytest.raises(Killed):
            create(tmp_path / "run")
    assert create(tmp_path / "run").config(Recipe) == Recipe()


def test_a_full_disk_leaves_the_old_weights(run, monkeypatch):
    run.write_weights("model", {"w": np.zeros(2)})

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            run.write_weights("model", {"w": np.ones(2)})
    assert Run.open(run.path).read_weights("model")["w"].tolist() == [0.0, 0.0]


def test_a_changed_file_of_any_kind_is_refused(run):
    run.write_table("split.csv", {"sample": ["a"]})
    (run.path / "split.csv").write_text("sample\nb\n")
    with pytest.raises(AlteredFileError, match=r"split\.csv was changed"):
        run.read_table("split.csv")
    with pytest.raises(AlteredFileError):
        run.verify()


def test_a_lost_file_is_refused(run):
    run.write_text("note.txt", "x")
    (run.path / "note.txt").unlink()
    assert not run.has("note.txt")
    with pytest.raises(ArtifactError, match="cannot read"):
        run.read_text("note.txt")


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("the pickle was loaded",)


def test_a_pickle_where_weights_should_be_is_never_loaded(run):
    run.write_weights("model", {"w": np.zeros(2)})
    (run.path / "weights" / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UnsafeFileError, match="pickle"):
        run.read_weights("model")
    run.register("weights/model.safetensors")
    with pytest.raises(UnsafeFileError, match="pickle"):
        run.read_weights("model")


def test_an_array_file_of_objects_is_never_loaded(run):
    with open(run.path / "x.npz", "wb") as stream:
        np.savez(stream, x=np.array([Bomb()], dtype=object), allow_pickle=True)
    run.register("x.npz")
    with pytest.raises(UnsafeFileError):
        run.read_arrays("x.npz")


def test_an_array_file_that_is_none_is_refused(run):
    (run.path / "x.npz").write_bytes(b"PK\x03\x04 nothing")
    run.register("x.npz")
    with pytest.raises(ArtifactError):
        run.read_arrays("x.npz")


def mutate(data: bytes, random: np.random.Generator) -> bytes:
    """Return the bytes with one to three of them changed, or cut, doubled, swapped or begun with a pickle."""
    way, size = random.integers(6), len(data)
    cut = int(random.integers(1, size))
    if way == 0:
        return data[:cut]
    if way == 1:
        return data + data[:cut]
    if way == 2:
        return b"\x80\x04" + data[2:]
    if way == 3:
        return data[cut:] + data[:cut]
    changed = bytearray(data)
    for position in random.integers(0, size if way == 4 else 100, random.integers(1, 4)):
        changed[position] ^= int(random.integers(1, 256))
    return bytes(changed)


def test_of_1000_mutated_weight_files_none_is_loaded(run):
    run.write_weights("model", {"w": np.arange(64, dtype=np.float32), "b": np.zeros(4)}, {"kind": "rna"})
    path = run.path / "weights" / "model.safetensors"
    sound, random = path.read_bytes(), np.random.default_rng(0)
    mutated = [mutate(sound, random) for _ in range(1000)]
    assert sound not in mutated
    for data in mutated:
        path.write_bytes(data)
        with pytest.raises(ArtifactError):
            run.read_weights("model")
    path.write_bytes(sound)
    assert run.read_weights("model")["b"].tolist() == [0.0] * 4


def test_of_300_mutated_manifests_none_is_believed(run):
    path = run.path / "run.json"
    sound, random = path.read_bytes(), np.random.default_rng(1)
    for _ in range(300):
        path.write_bytes(mutate(sound, random))
        if path.read_bytes() == sound:
            continue
        with pytest.raises(ArtifactError):
            Run.open(run.path)
    path.write_bytes(sound)
    assert Run.open(run.path).kind == "rna"


# ---- old files ---------------------------------------------------------------------------------------------


def archived_content(path: Path) -> None:
    """Write what the archive holds; it was called once."""
    run = Run.create(path, kind="rna", config=Recipe(label="disease"), seed=5, data={"sha256": "0" * 64})
    run.write_json("cohort.json", {"n_samples": 2})
    run.write_table("split.csv", {"sample": ["a", "b"], "part": ["train", "test"]})
    run.write_weights("model", {"w": np.arange(3, dtype=np.float32)}, {"d_in": "3"})
    run.add_scores([Score("accuracy", 0.75, 0.5, 1.0, n_patients=2)])
    run.write_predictions(
        Prediction(np.array(["a"]), np.array(["p"]), ("x", "y"), np.array([[0.25, 0.75]]), np.array([1]))
    )
    run.finish()


def test_a_run_of_format_1_is_still_read():
    run = Run.open(ARCHIVE, kind="rna")
    run.verify()
    assert run.is_complete
    assert run.config(Recipe) == Recipe(label="disease")
    assert run.read_json("cohort.json") == {"n_samples": 2}
    assert run.read_table("split.csv") == {"sample": ["a", "b"], "part": ["train", "test"]}
    assert run.read_weights("model")["w"].tolist() == [0.0, 1.0, 2.0]
    assert run.scores() == [Score("accuracy", 0.75, 0.5, 1.0, n_patients=2)]
    assert run.predictions().probabilities.tolist() == [[0.25, 0.75]]


def test_the_archive_is_format_1():
    assert json.loads((ARCHIVE / "run.json").read_text())["format_version"] == 1
