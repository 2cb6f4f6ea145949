"""The story goes on where it stopped, says how long it will take, and hears the lineage beside."""

import logging
import os
import signal

import pytest

from trilineage.core.errors import ConfigError, FormatError, Interrupted
from trilineage.demo import beside as module
from trilineage.demo import story
from trilineage.demo.beside import beside, work_beside
from trilineage.demo.claims import write_claims
from trilineage.demo.places import open_demo, read_demo
from trilineage.demo.real_data import require_data
from trilineage.demo.records import count_done, do_step, remaining_s
from trilineage.demo.settings import DemoSettings
from trilineage.demo.steps import REAL, SIMULATED, Phase, Step

SETTINGS = DemoSettings()


def nothing(demo):
    """Do nothing."""


@pytest.fixture
def demo(tmp_path):
    return open_demo(SETTINGS, tmp_path / "demo")


def test_a_folder_of_other_options_or_other_things_is_refused(demo, tmp_path):
    assert open_demo(SETTINGS, demo.path).settings == read_demo(demo.path).settings
    with pytest.raises(ConfigError, match="other options"):
        open_demo(SETTINGS.replace(seed=1), demo.path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="something else"):
        open_demo(SETTINGS, tmp_path / "full")


def test_the_rest_takes_as_long_as_the_finished_steps_suggest(demo):
    first, second = Step("a", "A", nothing, 10), Step("b", "B", nothing, 30)
    aside = Step("c", "C", nothing, 50)
    phases = (Phase((first,)), Phase((second,), (aside,)))
    assert remaining_s(demo, phases) == 60
    (demo.path / "steps").mkdir()
    (demo.path / "steps/a.json").write_text('{"seconds": 20}')
    assert remaining_s(demo, phases) == 100
    do_step(demo, aside)
    assert count_done(demo, phases) == (2, 3)
    assert remaining_s(demo, phases) == pytest.approx(30 * 20 / 60, rel=0.01)


def test_a_stopped_story_goes_on_with_the_step_that_was_stopped(tmp_path, monkeypatch, caplog):
    done, stops = [], [True]

    def stopped_once(demo):
        if stops.pop() if stops else False:
            raise KeyboardInterrupt
        write_claims(demo.path, ())

    phases = (
        Phase((Step("first", "First", lambda demo: done.append("first"), 1),)),
        Phase((Step("second", "Second", stopped_once, 1),)),
    )
    monkeypatch.setattr(story, "phases_of", lambda demo: phases)
    with pytest.raises(Interrupted, match="stopped"):
        story.run_demo(SETTINGS, tmp_path / "demo")
    with caplog.at_level(logging.INFO):
        told = story.run_demo(SETTINGS, tmp_path / "demo")
    assert done == ["first"]
    assert told.claims == ()
    assert "step 2 of 2 · Second · about" in caplog.text


def test_one_core_does_one_lineage_after_the_other(tmp_path, monkeypatch):
    done = []
    steps = [Step(name, name, lambda demo, name=name: done.append(name), 1) for name in "ab"]
    monkeypatch.setattr(story, "phases_of", lambda demo: (Phase((steps[0],), (steps[1],)),))
    monkeypatch.setattr(story, "n_cores", lambda: 1)
    monkeypatch.setattr(story, "read_claims", lambda path: ())
    story.run_demo(SETTINGS, tmp_path / "demo")
    assert done == ["a", "b"]


def test_the_lineage_beside_fails_with_its_own_error(demo):
    with pytest.raises(FormatError, match="no such file"), beside(demo, 1):
        pass


def test_work_beside_is_stopped_with_the_exit_code_of_work_that_can_go_on(demo, monkeypatch):
    def stop(demo):
        raise KeyboardInterrupt

    phases = (Phase((), (Step("stopped", "Stopped", stop, 1),)),)
    monkeypatch.setattr("trilineage.demo.beside.phases_of", lambda demo: phases)
    assert work_beside(demo, 0) == 75


def test_the_process_beside_stops_itself_once_its_parent_is_gone(monkeypatch):
    parents, sent = [7, 7, 1], []
    monkeypatch.setattr(module.os, "getppid", lambda: parents.pop(0))
    monkeypatch.setattr(module.os, "kill", lambda *asked: sent.append(asked))
    monkeypatch.setattr(module, "_PARENT_S", 0.0)
    module._end_with_parent(7)
    assert sent == [(os.getpid(), signal.SIGTERM)]


def test_a_folder_without_the_public_data_is_refused_and_what_is_missing_is_named(tmp_path):
    demo = open_demo(SETTINGS.replace(data=str(tmp_path)), tmp_path / "demo")
    with pytest.raises(ConfigError, match="no images/pbc_144, no rna/bulk_all_multicohort"):
        require_data(demo)


def test_options_of_a_recipe_stand_above_those_of_the_scale_and_names_of_steps_differ():
    settings = DemoSettings.of_scale("small", {"rna": ["classifier.dropout=0.1"], "cohort.n_train": 9})
    assert settings.recipe("rna", {"classifier.dropout": 0.3})["classifier.dropout"] == "0.1"
    assert settings.cohort.n_train == 9
    for phases in (SIMULATED, REAL):
        names = [step.name for phase in phases for step in (*phase.steps, *phase.beside)]
        assert len(set(names)) == len(names)
