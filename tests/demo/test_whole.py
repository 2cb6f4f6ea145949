"""The whole demo on a cohort of a dozen patients: every step is done once, every page is there, every claim judged."""

import json
import re

import pytest
import torch
from typer.testing import CliRunner

from trilineage.cli.main import app
from trilineage.core.errors import Interrupted
from trilineage.demo import lineages, story
from trilineage.demo.settings import DemoSettings

FEW = ["evaluation.n_bootstrap=100", "evaluation.n_permutations=99"]
TINY = {
    "cohort.diagnoses": ["normal", "ALL"],
    "cohort.new_diagnoses": ["MDS"],
    "cohort.n_train": 3,
    "cohort.n_valid": 1,
    "cohort.n_test": 2,
    "cohort.n_sites": 2,
    "cohort.one_kind": 0.2,
    "cohort.subtypes": False,
    "cohort.smears.n_images_per_patient": 2,
    "cohort.expression.n_cells_per_donor": 10,
    "cohort.expression.n_genes": 120,
    "images": ["training.epochs=2", *FEW],
    "rna": ["classifier_training.epochs=2", "components.n_components=4", *FEW],
    "concepts": ["sae.latents=32", "sae.k=4", "training.epochs=1", "n_seeds=1", *FEW],
    "cases": FEW,
    "n_explained": 1,
    "per_patient": 1,
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A demo that was stopped before the cases, and called again."""
    torch.set_num_threads(1)
    out, settings = tmp_path_factory.mktemp("demo") / "demo", DemoSettings.of_scale("small", TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            story, "n_cores", lambda: 1
        )  # no process beside, which would import everything once more
        patch.setattr(lineages, "n_cores", lambda: 1)
        with pytest.MonkeyPatch.context() as stopped, pytest.raises(Interrupted, match="demo was stopped"):
            stopped.setattr("trilineage.pipelines.cases.fit", interrupted)
            story.run_demo(settings, out, device="cpu")
        n_done = len(list((out / "steps").glob("*.json")))
        assert n_done == 9
        before = {path.name: path.read_bytes() for path in (out / "steps").iterdir()}
        found = story.run_demo(settings, out, device="cpu")
        assert before.items() <= {path.name: path.read_bytes() for path in (out / "steps").iterdir()}.items()
    return found


def interrupted(*given):
    raise KeyboardInterrupt


def test_every_claim_is_judged_and_stands_on_the_page(told):
    names = [claim.name for claim in told.claims]
    lineages_of = ["images.score", "concepts.score", "rna.score", "cases.score"]
    assert names[:6] == ["all.parts", *lineages_of, "cases.gain"]
    assert names[-1] == "new.unknown"
    assert told.claims[0].holds
    page = told.page.read_text("utf-8")
    assert all(claim.text in page for claim in told.claims)


def test_every_page_that_the_index_leads_to_is_there(told):
    page = told.page.read_text("utf-8")
    links = {link.split("#")[0] for link in re.findall(r'href="([^"#][^"]*)"', page)} - {""}
    assert {"images/report.html", "concepts/report.html", "rna/report.html", "cases/report.html"} <= links
    assert any(link.startswith("cases/") and "C0" in link for link in links)
    files = [link for link in links if "://" not in link and not link.startswith("data:")]
    assert [link for link in files if not (told.path / link).exists()] == []


def test_a_finished_demo_is_told_again_by_the_command_without_doing_anything(told, monkeypatch):
    monkeypatch.setattr(story, "do_step", None)
    given = [text for name, value in TINY.items() for text in ("--set", f"{name}={written(value)}")]
    done = CliRunner().invoke(app, ["demo", "--out", str(told.path), "--device", "cpu", *given])
    assert done.exit_code == 0, done.output
    assert "index.html" in done.output


def test_a_stopped_demo_leaves_with_the_exit_code_of_work_that_can_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(story, "do_step", interrupted)
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo")])
    assert done.exit_code == 75


def written(value):
    """Return a value as it is written after `--set`."""
    return json.dumps(value) if isinstance(value, (bool, list)) else value
