"""Which images were studied, and what is not known of them."""

from trilineage.report.blocks import Facts, Fold, Notice, Table
from trilineage.report.sections.image_cohort import image_cohort_section


def cohort(**changes):
    row = {"label": "ALL", "n_patients": 12, "n_samples": 48}
    known = {
        "n_samples": 48,
        "n_patients": 12,
        "has_patients": True,
        "classes": [row],
        "taxonomy": "leukemia",
    }
    return {**known, **changes}


def blocks_of(run, kind, **changes):
    run.write_json("cohort.json", cohort(**changes))
    return [block for block in image_cohort_section(run).blocks if isinstance(block, kind)]


def test_patients_and_images_of_each_label_are_counted(bare_image_run):
    (table,) = blocks_of(bare_image_run, Table)
    assert table.columns == ("Label", "Patients", "Images")
    assert table.rows == (("ALL", "12", "48"),)


def test_without_patients_there_is_a_warning_and_no_column_for_them(bare_image_run):
    (notice,) = blocks_of(bare_image_run, Notice, has_patients=False)
    assert notice.level == "caution"
    assert "leakage cannot be excluded" in notice.text
    assert blocks_of(bare_image_run, Table, has_patients=False)[0].columns == ("Label", "Images")


def test_images_that_could_not_be_read_are_counted_and_listed(bare_image_run):
    torn = [{"name": "torn.jpg", "reason": "ends too early"}]
    (notice,) = blocks_of(bare_image_run, Notice, unreadable=torn, n_samples=999)
    (fold,) = blocks_of(bare_image_run, Fold, unreadable=torn, n_samples=999)
    assert notice.text == "Left out because they could not be read: 1 image (0.1 % of all)."
    assert notice.level == "note"
    assert fold.blocks[0].rows == (("torn.jpg", "ends too early"),)


def test_many_unreadable_images_are_a_warning(bare_image_run):
    torn = [{"name": f"{n}.jpg", "reason": "zero bytes"} for n in range(3)]
    assert blocks_of(bare_image_run, Notice, unreadable=torn)[0].level == "caution"


def test_remarks_are_listed_once(bare_image_run):
    notes = ["no patients are known", "10 images without a label were left out"]
    (facts,) = blocks_of(bare_image_run, Facts, has_patients=False, notes=notes)
    assert facts.rows[-1] == ("Remarks", "10 images without a label were left out.")
    assert "No patients are known." not in dict(facts.rows).values()


def test_few_patients_in_a_label_are_a_warning(bare_image_run):
    rows = [{"label": "ALL", "n_patients": 3, "n_samples": 48}]
    assert "Fewer than 10 patients in ALL (3)" in blocks_of(bare_image_run, Notice, classes=rows)[0].text
