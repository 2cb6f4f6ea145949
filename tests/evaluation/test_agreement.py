"""Agreement is that of scikit-learn and of Fleiss' own example, with intervals over patients that cover."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from trilineage.core.errors import CohortError
from trilineage.data.taxonomy import load_taxonomy
from trilineage.evaluation.agreement import (
    AgreementSettings,
    compare_to_readers,
    cost_weights,
    disagreement_table,
    fleiss_kappa,
    score_agreement,
    taxonomy_costs,
    weighted_kappa,
)
from trilineage.evaluation.readers import ReaderTable, read_attribute_tables

QUICK = AgreementSettings(n_bootstrap=200)
GRADES = ("0", "1", "2", "3")


def draw_readings(seed: int, n_patients: int = 30, n_each: int = 4, error: float = 0.3, n_readers: int = 2):
    """Draw grades of images: a patient has one, each reader errs on each image."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(n_patients), n_each)
    truth = rng.integers(0, 4, n_patients)[codes]
    readings = {
        f"reader {number}": np.where(rng.random(len(codes)) < error, rng.integers(0, 4, len(codes)), truth)
        for number in range(n_readers)
    }
    labels = {name: [GRADES[grade] for grade in grades] for name, grades in readings.items()}
    return ReaderTable.of([f"i{i}" for i in range(len(codes))], labels, patients=[f"p{i}" for i in codes])


def by_metric(scores) -> dict[str, float]:
    return {score.metric: score.value for score in scores}


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_kappa_is_that_of_scikit_learn(weights):
    table = draw_readings(0)
    power = {None: None, "linear": 1, "quadratic": 2}[weights]
    costs = power and {(a, b): float(abs(int(a) - int(b)) ** power) for a in GRADES for b in GRADES}
    found = by_metric(score_agreement(table, costs=costs, settings=QUICK))
    expected = cohen_kappa_score(*table.codes.T, weights=weights)
    assert found["cohen_kappa" if weights is None else "weighted_kappa"] == pytest.approx(expected)


def test_fleiss_kappa_of_the_example_of_ten_patients_and_fourteen_raters():
    """The worked example that goes round with Fleiss (1971): 14 raters, 10 subjects, 5 categories, kappa .210."""
    rows = ["00 00 00 00 14", "00 02 06 04 02", "00 00 03 05 06", "00 03 09 02 00", "02 02 08 01 01"]
    rows += ["07 07 00 00 00", "03 02 06 03 00", "02 05 03 02 02", "06 05 02 01 00", "00 02 02 03 07"]
    counts = np.array([[int(cell) for cell in row.split()] for row in rows], dtype=float)
    agreeing = (counts * (counts - 1)).sum(axis=1) / (14 * 13)
    found = fleiss_kappa(np.array(agreeing.sum()), np.array(10.0), counts.sum(axis=0))
    assert found == pytest.approx(0.210, abs=5e-4)


def test_fleiss_of_readers_is_that_of_their_counts():
    table = draw_readings(1, n_readers=3)
    (score,) = [s for s in score_agreement(table, settings=QUICK) if s.metric == "fleiss_kappa"]
    counts = np.stack([(table.codes == code).sum(axis=1) for code in range(4)], axis=1).astype(float)
    shares = counts.sum(axis=0) / counts.sum()
    observed = ((counts * (counts - 1)).sum(axis=1) / 6).mean()
    assert score.value == pytest.approx((observed - (shares**2).sum()) / (1 - (shares**2).sum()))
    assert score.low < score.value < score.high


def test_items_that_one_of_two_has_not_read_do_not_count():
    table = ReaderTable.of(list("abcd"), {"Kim": ["x", "y", "x", ""], "Lee": ["x", "y", "y", "x"]})
    score = score_agreement(table, settings=QUICK)[0]
    assert (score.metric, score.value, score.n_samples) == ("agreement", pytest.approx(2 / 3), 3)
    assert "patients unknown: items resampled" in score.note


def test_readers_who_agree_on_everything_have_a_bound_and_no_kappa_where_nothing_differs():
    same = ReaderTable.of(list("abc"), {"Kim": ["x", "y", "x"], "Lee": ["x", "y", "x"]})
    found = by_metric(score_agreement(same, settings=QUICK))
    assert found == {"agreement": 1.0, "cohen_kappa": 1.0}
    flat = ReaderTable.of(list("abc"), {"Kim": ["x"] * 3, "Lee": ["x"] * 3})
    kappa = score_agreement(flat, settings=QUICK)[1]
    assert np.isnan(kappa.value)
    assert "everything has the same label" in kappa.note


def test_clinical_costs_weigh_disagreement_between_diagnoses():
    taxonomy = load_taxonomy("leukemia")
    costs = taxonomy_costs(taxonomy)
    assert costs["APML", "normal"] == 30.0
    weights = cost_weights(("APML", "normal"), costs)
    assert weights.tolist() == [[0, 30], [5, 0]]
    mild, grave = np.array([[8.0, 0.0], [2.0, 8.0]]), np.array([[8.0, 2.0], [0.0, 8.0]])
    assert weighted_kappa(mild, weights) > weighted_kappa(grave, weights)


def test_the_interval_widens_where_images_of_a_patient_go_together():
    table = draw_readings(2, n_patients=12, n_each=20)
    alone = ReaderTable(
        table.items, table.readers, table.categories, np.repeat(table.codes[::20], 20, axis=0)
    )
    clustered = ReaderTable(alone.items, alone.readers, alone.categories, alone.codes, table.patients)
    by_image, by_patient = (score_agreement(t, settings=QUICK)[1] for t in (alone, clustered))
    assert by_patient.high - by_patient.low > 2 * (by_image.high - by_image.low)


def test_intervals_of_kappa_cover_in_about_95_of_100_simulated_studies():
    large = draw_readings(10**6, n_patients=20_000)
    truth = by_metric(score_agreement(large, settings=AgreementSettings(n_bootstrap=100)))["cohen_kappa"]
    holds = []
    for study in range(150):
        score = score_agreement(draw_readings(study), settings=QUICK, seed=study)[1]
        holds.append(score.low <= truth <= score.high)
    assert np.mean(holds) > 0.89  # three standard errors of 150 studies below 95 %


def test_a_model_that_reads_like_the_readers_differs_from_none():
    table = draw_readings(3, n_patients=60, n_readers=3)
    found = compare_to_readers(table, "reader 2", settings=QUICK)
    assert found.low < 0 < found.high
    assert (found.first, found.second, found.n_patients) == ("reader 2 ~ readers", "readers ~ readers", 60)


def test_a_model_that_guesses_agrees_less_than_readers_do():
    table = draw_readings(3, n_patients=60)
    guesses = np.random.default_rng(0).choice(GRADES, len(table.items))
    found = compare_to_readers(table.with_reader("model", table.items, guesses), "model", settings=QUICK)
    kappas = [cohen_kappa_score(table.labels_of(f"reader {n}"), guesses) for n in (0, 1)]
    between = cohen_kappa_score(*table.codes.T)
    assert found.difference == pytest.approx(np.mean(kappas) - between)
    assert found.high < 0


def test_one_reader_is_no_measure_for_a_model():
    table = draw_readings(0).with_reader("model", ["i0"], ["1"])
    with pytest.raises(CohortError, match="cannot be compared with the readers"):
        compare_to_readers(draw_readings(0), "reader 1")
    with pytest.raises(CohortError, match="cannot be compared"):
        compare_to_readers(table, "somebody")


def test_images_that_nobody_read_twice_are_refused():
    table = ReaderTable.of(["a", "b"], {"Kim": ["x", ""], "Lee": ["", "x"]})
    with pytest.raises(CohortError, match="no item has been read twice"):
        score_agreement(table)


def test_disagreements_are_counted():
    table = ReaderTable.of(list("abc"), {"Kim": ["x", "y", "x"], "Lee": ["x", "y", "y"]})
    assert disagreement_table(table, "Kim", "Lee")["counts"] == [[1, 1], [0, 1]]


def test_the_second_annotation_of_the_blood_cells_agrees_well_on_their_names(real_data):
    folder = real_data / "images" / "pbc_barcelona"
    if not (folder / "wbcatt_reannotations.csv").exists():
        pytest.skip("the second annotation is not there")
    tables = read_attribute_tables(folder / "metadata_all.csv", folder / "wbcatt_reannotations.csv")
    assert len(tables) == 11
    scores = {name: score_agreement(table, settings=QUICK) for name, table in tables.items()}
    shape = tables["nucleus_shape"]
    first, second = (shape.labels_of(name) for name in ("first", "second"))
    is_read = (first != "") & (second != "")
    assert scores["nucleus_shape"][1].value == pytest.approx(
        cohen_kappa_score(first[is_read], second[is_read])
    )
    assert all(found[0].n_samples > 900 and found[0].value > 0.5 for found in scores.values())
