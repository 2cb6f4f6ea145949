"""Whatever a command raises leaves by the door: one message, the right code, nothing lost."""

import logging
import os
import signal
import subprocess
import sys

import pytest
import typer

from trilineage.cli.door import door, exit_code
from trilineage.cli.messages import configure_messages, is_first_process
from trilineage.core import errors


def left(error: BaseException, *, is_resumable: bool = False, **options) -> int:
    """Return the exit code of a command that raises."""

    @door(is_resumable=is_resumable)
    def command(**options):
        raise error

    with pytest.raises(typer.Exit) as caught:
        command(**options)
    return caught.value.exit_code


@pytest.fixture
def begun(tmp_path):
    """A folder in which a Run has begun."""
    (tmp_path / "run.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.DataError, 65),
        (errors.CohortError, 65),
        (errors.LeakageError, 65),
        (errors.ConfigError, 2),
        (errors.UnknownOptionError, 2),
        (errors.ArtifactError, 1),
        (errors.StorageError, 1),
        (errors.Interrupted, 75),
        (errors.TrilineageError, 1),
    ],
)
def test_the_code_says_who_can_mend_it(kind, code):
    assert exit_code(kind("what")) == code
    assert left(kind("what")) == code


def test_the_message_carries_the_notes_added_on_the_way(capsys):
    error = errors.DataError("a bad file", remedy="mend it")
    error.add_note("while reading fold 3")
    left(error)
    assert capsys.readouterr().err == "DataError: a bad file. Mend it.\nwhile reading fold 3\n"


def test_ctrl_c_with_a_run_begun_can_go_on(begun, capsys):
    assert left(KeyboardInterrupt(), is_resumable=True, out=begun) == 75
    assert "Run the same command again" in capsys.readouterr().err


def test_ctrl_c_with_a_folder_of_results_begun_can_go_on(tmp_path):
    (tmp_path / "part-0.npz").write_text("")
    assert left(KeyboardInterrupt(), is_resumable=True, out=tmp_path) == 75


@pytest.mark.parametrize("is_resumable", [True, False])
def test_ctrl_c_with_nothing_to_go_on_from_is_a_plain_stop(tmp_path, is_resumable):
    assert left(KeyboardInterrupt(), is_resumable=is_resumable, out=tmp_path) == 130


def test_sigterm_is_taken_as_ctrl_c_and_the_old_handler_comes_back(begun):
    before = signal.getsignal(signal.SIGTERM)

    @door(is_resumable=True)
    def command(out):
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(typer.Exit) as caught:
        command(out=begun)
    assert caught.value.exit_code == 75
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_defect_is_shown_in_a_line_and_kept_in_the_log_of_the_run(begun, capsys):
    assert left(RuntimeError("boom"), out=begun) == 1
    shown = capsys.readouterr().err
    assert "RuntimeError: boom" in shown
    assert "Traceback" not in shown
    assert "Traceback" in (begun / "log.txt").read_text()


def test_a_defect_without_a_run_tells_how_to_see_more(tmp_path, capsys):
    left(RuntimeError("boom"), out=tmp_path / "absent")
    assert "trilineage --debug" in capsys.readouterr().err
    assert not (tmp_path / "absent").exists()


def test_debug_shows_the_whole_traceback(capsys):
    logger = logging.getLogger("trilineage")
    try:
        configure_messages(debug=True)
        left(errors.DataError("what"))
    finally:
        logger.handlers = [handler for handler in logger.handlers if handler.name != "terminal"]
        logger.setLevel(logging.NOTSET)
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_deliberate_exit_passes_through():
    assert left(typer.Exit(3)) == 3


def test_messages_of_later_processes_carry_their_number(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "2")
    left(errors.DataError("what"))
    assert capsys.readouterr().err == "[process 2] DataError: what.\n"
    assert not is_first_process()


def test_messages_are_configured_once_however_often_it_is_asked():
    logger = logging.getLogger("trilineage")
    for _ in range(3):
        configure_messages()
    terminals = [handler for handler in logger.handlers if handler.name == "terminal"]
    logger.removeHandler(terminals[0])
    logger.setLevel(logging.NOTSET)
    assert len(terminals) == 1


def test_a_reader_that_leaves_early_is_no_error():
    code = (
        "from trilineage.cli.door import door\n"
        "@door()\n"
        "def command():\n"
        "    for i in range(100000): print(i)\n"
        "import typer; typer.run(command)"
    )
    words = f"\"{sys.executable}\" -c '{code}' | head -n 1; exit ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr, found.returncode) == ("0\n", "", 0)
