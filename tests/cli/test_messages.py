"""The log of a command: on the terminal, in a file, and in its Run from the moment there is one."""

import logging
import shutil

import pytest
import typer

from trilineage.cli.door import door
from trilineage.cli.messages import LogFile, configure_messages, logged_to
from trilineage.core.errors import DataError

logger = logging.getLogger("trilineage")


@pytest.fixture
def spoken(capsys):
    """Configure messages for a test and take the terminal away again."""
    yield configure_messages
    logger.handlers = [handler for handler in logger.handlers if handler.name != "terminal"]
    logger.setLevel(logging.NOTSET)


def test_a_log_file_tells_the_command_its_lines_and_its_end(spoken, tmp_path):
    spoken()

    @door()
    def command():
        logger.info("fold 1 of 5")
        raise DataError("a bad file")

    with pytest.raises(typer.Exit):
        command(log_file=tmp_path / "logs" / "x.log")
    lines = [line.split(" ", 2)[1:] for line in (tmp_path / "logs" / "x.log").read_text().splitlines()]
    assert lines[0][1].startswith("trilineage 0.")
    assert lines[1:] == [
        ["INFO", "fold 1 of 5"],
        ["ERROR", "DataError: a bad file."],
        ["INFO", "exit code 65"],
    ]


def test_a_run_has_its_log_from_the_moment_it_begins(spoken, tmp_path):
    spoken()
    out = tmp_path / "run"

    @door()
    def command(out):
        logger.info("before")
        assert not out.exists()
        out.mkdir()
        (out / "run.json").write_text("{}")
        logger.info("after")

    command(out=out)
    said = (out / "log.txt").read_text()
    assert said.index("before") < said.index("after") < said.index("exit code 0")
    assert logger.handlers[1:] == []


def test_a_run_that_is_begun_again_begins_its_log_again(spoken, tmp_path):
    spoken()
    manifest = tmp_path / "run" / "run.json"
    for _ in range(2):
        with logged_to(None, manifest.parent):
            shutil.rmtree(manifest.parent, ignore_errors=True)
            manifest.parent.mkdir()
            manifest.write_text("{}")
            logger.info("fitting")
    assert (manifest.parent / "log.txt").read_text().count("fitting") == 1


def test_a_second_command_adds_to_the_log_of_a_run(spoken, tmp_path):
    spoken()
    (tmp_path / "run.json").write_text("{}")
    for word in ("fit", "explain"):
        with logged_to(None, tmp_path):
            logger.info(word)
    said = (tmp_path / "log.txt").read_text()
    assert said.index("fit") < said.index("explain")


def test_quiet_keeps_the_terminal_still_and_the_log_whole(spoken, tmp_path, capsys):
    spoken()

    @door()
    def command():
        logger.info("step 1")
        logger.warning("odd")

    command(is_quiet=True, log_file=tmp_path / "log")
    assert capsys.readouterr().err == "odd\n"
    assert "step 1" in (tmp_path / "log").read_text()


def test_a_log_that_cannot_be_written_is_an_error_before_anything_is_done(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    done = []

    @door()
    def command():
        done.append(1)

    with pytest.raises(typer.Exit) as caught:
        command(log_file=tmp_path / "file" / "x.log")
    assert (caught.value.exit_code, done) == (1, [])
    assert "StorageError: cannot write the log" in capsys.readouterr().err


def test_a_log_whose_disk_is_full_does_not_stop_the_work(spoken, tmp_path):
    spoken()
    handler = LogFile(tmp_path / "gone" / "x.log")
    logger.addHandler(handler)
    logger.info("goes on")
    logger.removeHandler(handler)
    assert not handler.has_begun


def test_later_processes_keep_no_log(spoken, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    spoken()
    with logged_to(tmp_path / "x.log", None):
        logger.info("mine")
    assert not (tmp_path / "x.log").exists()
