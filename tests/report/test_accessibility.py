"""Every kind of page in a real browser: axe finds nothing, light and dark, wide and narrow; keys do what mice do."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from trilineage.report.atlas import write_atlas
from trilineage.report.case import write_case_pages
from trilineage.report.compare import write_comparison
from trilineage.report.page import write_report
from trilineage.report.patient_barcodes import write_patient_pages


def beside(name):
    """Load a module that lies beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shown = beside("browser")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with shown.opened_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def rna_run(make_run):
    return make_run("rna", n_patients=3)


@pytest.fixture(scope="module")
def rna_page(rna_run):
    return write_report(rna_run.path)


def found(browser, *pages):
    return shown.looked_at(browser, pages)


def test_the_report_of_expression(browser, rna_page):
    assert found(browser, rna_page) == {}


def test_the_report_of_images(browser, image_run):
    assert found(browser, write_report(image_run.path)) == {}


def test_the_report_of_concepts(browser, concept_run):
    assert found(browser, write_report(concept_run.path)) == {}


def test_reports_of_comparisons(browser, image_runs, concept_runs, tmp_path):
    images, concepts = image_runs.compared_run(tmp_path / "a"), concept_runs.compared_run(tmp_path / "b")
    assert found(browser, write_report(images.path), write_report(concepts.path)) == {}


def test_the_comparison_of_runs(browser, concept_runs, concept_run, tmp_path):
    other = concept_runs.subtype_run(tmp_path / "other")
    assert found(browser, write_comparison([concept_run.path, other.path], tmp_path / "compare.html")) == {}


def test_the_atlas_and_an_open_card(browser, tmp_path):
    atlas = beside("test_atlas")
    run = atlas.Run.create(tmp_path / "run", kind="concepts", config=atlas.Options(), seed=1)
    run.write_json(atlas.CARDS_NAME, atlas.deck(atlas.card(7), atlas.card(9)).to_dict())
    page = write_atlas(run)
    assert found(browser, page) == {}
    browser.ask("document.querySelector('#list a').click()")
    assert browser.ask("document.getElementById('card').open")
    assert browser.violations() == []


def test_pages_of_patients(browser, tmp_path):
    patients = beside("test_patient_barcodes")
    (tmp_path / patients.PATIENTS_NAME).write_text(patients.json.dumps(patients.made_up(n_patients=2)))
    index = write_patient_pages(tmp_path)
    assert found(browser, index, tmp_path / "patients" / "0001.html") == {}


def test_the_page_of_a_case(browser, case_runs, tmp_path):
    (page,) = write_case_pages(case_runs.write_cases(tmp_path / "cases", [case_runs.made_up_case()]))
    assert found(browser, page) == {}


def test_the_page_of_a_demo(browser, rna_run, image_run, concept_run, case_runs, tmp_path):
    demo = beside("test_demo_index")
    for name, run in (
        ("rna", rna_run),
        ("images", image_run),
        ("concepts", concept_run),
    ):
        shutil.copytree(run.path, tmp_path / name)
    case = case_runs.made_up_case()
    cases = case_runs.write_cases(tmp_path / "cases", [case])
    listed = {**demo.ROW, **{key: case[key] for key in ("patient", "name", "lineages", "is_right")}}
    cases.write_json("cases.json", [listed])
    (tmp_path / "demo.json").write_text(json.dumps(demo.FACTS))
    (tmp_path / "claims.json").write_text(json.dumps([{"note": "", **claim} for claim in demo.CLAIMS]))
    assert found(browser, demo.write_index(tmp_path)) == {}


def test_what_is_wrong_with_a_page_is_found(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<title>x</title><p style="width:3000px;color:#ccc;background:#fff">pale</p><img src="a.png">'
    )
    rules = {rule for rows in found(browser, page).values() for rule, _, _ in rows}
    assert {"image-alt", "color-contrast", "html-has-lang", "wider than the window"} <= rules


# ---- keys -----------------------------------------------------------------------------------------------------------


def test_the_first_key_leads_past_everything_to_the_content(browser, rna_page):
    browser.open(rna_page)
    browser.press("Tab")
    assert browser.ask("document.activeElement.className") == "skip"
    browser.press("Enter")
    assert browser.ask("location.hash") == "#content"


def test_dark_is_switched_by_a_key_and_remembered(browser, rna_page):
    browser.open(rna_page)
    browser.ask("localStorage.clear(); document.getElementById('theme').focus()")
    browser.press(" ")
    browser.open(rna_page)
    ground = browser.ask("getComputedStyle(document.body).backgroundColor")
    pressed = browser.ask("document.getElementById('theme').getAttribute('aria-pressed')")
    browser.ask("document.getElementById('theme').click()")
    assert (ground, pressed) == ("rgb(21, 24, 28)", "true")
    assert browser.ask("localStorage.length") == 0


def test_a_table_is_sorted_by_a_key_and_put_back(browser, rna_page):
    browser.open(rna_page)
    table = "document.querySelector('#cohort table')"
    browser.ask(f"{table}.querySelector('.sort').focus()")
    names = f"[...{table}.tBodies[0].rows].map((row) => row.cells[0].textContent)"
    order = f"{table}.querySelector('th').getAttribute('aria-sort')"
    seen = []
    for _ in range(3):
        browser.press("Enter")
        seen.append((browser.ask(order), browser.ask(names)))
    first = ["healthy", "AML", "ALL", "CLL"]
    assert seen == [
        ("ascending", sorted(first, key=str.lower)),
        ("descending", sorted(first, key=str.lower)[::-1]),
        ("none", first),
    ]


def test_numbers_are_sorted_as_numbers_and_dashes_come_last(browser, tmp_path, rna_page):
    cells = ["1,234", "−0.5", "–", "0.9<small>0.8–1</small>", "&lt; 0.001", "12 %"]
    rows = "".join(f"<tr><td>x</td><td>{cell}</td></tr>" for cell in cells)
    text = rna_page.read_text()
    head = '<thead><tr><th>A</th><th class="n">B</th></tr></thead>'
    table = f'<table class="sortable">{head}<tbody>{rows}</tbody></table>'
    page = tmp_path / "sorted.html"
    page.write_text(text[: text.index('<section id="summary"')] + table + "</main></div></body></html>")
    browser.open(page)
    browser.ask(
        "document.querySelectorAll('.sort')[1].click(); document.querySelectorAll('.sort')[1].click()"
    )
    shown_cells = browser.ask(
        "[...document.querySelectorAll('td:last-child')].map((cell) => cell.textContent)"
    )
    assert shown_cells == ["−0.5", "< 0.001", "0.90.8–1", "12 %", "1,234", "–"]


def test_totals_stay_last(browser, rna_page):
    browser.open(rna_page)
    browser.ask("document.querySelector('#split .sort').click()")
    assert browser.ask("document.querySelector('#split tbody tr:last-child th').textContent") == "All"


def test_print_is_light_whatever_was_chosen(browser, rna_page):
    browser.open(rna_page, theme="dark")
    browser.send("Emulation.setEmulatedMedia", media="print")
    ground = browser.ask("getComputedStyle(document.body).backgroundColor")
    hidden = browser.ask("getComputedStyle(document.querySelector('.tools')).display")
    browser.send("Emulation.setEmulatedMedia", media="")
    assert (ground, hidden) == ("rgb(255, 255, 255)", "none")
