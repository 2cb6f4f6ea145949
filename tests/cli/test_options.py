"""Options become configurations, and wishes that contradict each other are refused."""

import os
import sys
from inspect import signature

import pytest

from trilineage.cli.options import (
    Data,
    Fitting,
    check_output,
    configured,
    fitting,
    limit_threads,
    reading,
    varied,
)
from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError, UnknownOptionError


class Inner(Settings):
    """A group."""

    hidden: tuple[int, ...] = (4,)
    """Widths."""
    path: str | None = None
    """File."""


class Outer(Settings):
    """A configuration."""

    inner: Inner = Inner()
    """Group."""
    rate: float = 0.1
    """Rate."""


def test_options_with_a_name_of_their_own_win_over_set():
    found = configured(Outer, None, ["inner.path=a", "rate=0.5"], inner__path="b", rate=None)
    assert (found.inner.path, found.rate) == ("b", 0.5)


def test_varied_values_have_the_type_of_their_option():
    found = varied(Outer, ["rate=0.1,1e-3", "inner.hidden=[4],[8, 4]", "inner.path=1,x"])
    assert found == {"rate": [0.1, 0.001], "inner.hidden": [(4,), (8, 4)], "inner.path": ["1", "x"]}


@pytest.mark.parametrize("text", ["rate=0.1", "rate=0.1,0.1", "rate=", "rate", "rate=0.1,0.2,0.1"])
def test_a_variation_needs_two_different_values(text):
    with pytest.raises(ConfigError):
        varied(Outer, [text])


def test_an_option_is_varied_once():
    with pytest.raises(ConfigError, match="rate"):
        varied(Outer, ["rate=1,2", "rate=3,4"])


def test_an_unknown_option_cannot_be_varied():
    with pytest.raises(UnknownOptionError, match="inner.hidden"):
        varied(Outer, ["inner.hiden=1,2"])


def test_a_comma_in_quotes_separates_nothing():
    assert varied(Outer, ['inner.path="a,b",c'])["inner.path"][1] == "c"
    assert len(varied(Outer, ['inner.path="a,b",c'])["inner.path"]) == 2


def test_reading_options_may_carry_the_name_of_their_group():
    assert reading(["layer=counts", "data.state=log1p"]) == {"layer": "counts", "state": "log1p"}
    assert reading(None) == {}


def test_resume_and_overwrite_contradict_each_other(tmp_path):
    with pytest.raises(ConfigError, match="contradict"):
        check_output(tmp_path, resume=True, overwrite=True)


@pytest.mark.parametrize(("resume", "overwrite"), [(None, False), (True, False), (None, True), (False, True)])
def test_a_folder_with_a_run_may_be_resumed_or_overwritten(tmp_path, resume, overwrite):
    (tmp_path / "run.json").touch()
    check_output(tmp_path, resume=resume, overwrite=overwrite)
    assert (tmp_path / "run.json").exists()


def test_no_resume_refuses_a_run_but_only_in_the_first_process(tmp_path, monkeypatch):
    (tmp_path / "run.json").touch()
    with pytest.raises(ConfigError, match="--overwrite"):
        check_output(tmp_path, resume=False, overwrite=False)
    monkeypatch.setenv("RANK", "1")
    check_output(tmp_path, resume=False, overwrite=False)


def test_threads_are_limited_before_torch_is_asked(monkeypatch):
    asked = []
    monkeypatch.setitem(sys.modules, "torch", type(sys)("torch"))
    sys.modules["torch"].set_num_threads = asked.append
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    limit_threads(None)
    assert (asked, os.environ["OMP_NUM_THREADS"]) == ([], "1")
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setitem(sys.modules, "numba", sys)
    limit_threads(3)
    assert (asked, os.environ["OMP_NUM_THREADS"], os.environ["NUMBA_NUM_THREADS"]) == ([3], "3", "1")


def test_a_command_that_fits_takes_the_options_of_every_fit_as_one(tmp_path):
    def command(asked: Fitting, n: int = 3) -> None:
        seen.append((asked.settings.data.path, asked.settings.seed, asked.out, asked.overwrite, n))

    seen: list[object] = []
    fit = fitting("rna", data=("data__path", Data))(command)
    assert list(signature(fit).parameters)[:4] == ["out", "n", "data", "config"]
    given = {"config": None, "device": "cpu", "threads": None, "resume": None, "overwrite": True}
    fit(out=tmp_path, n=5, data="cells.h5ad", assignments=["seed=7"], **given)
    assert seen == [("cells.h5ad", 7, tmp_path, True, 5)]
