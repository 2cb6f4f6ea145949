"""Patients differ from one another, belong to sites, and show their diagnosis as strongly as the signal says."""

import numpy as np
import pytest

from trilineage.core.errors import ConfigError
from trilineage.data.simulate.smears.cell_types import ATTRIBUTES, CELL_TYPES, NAMES
from trilineage.data.simulate.smears.diagnoses import DIAGNOSES, KNOWN, PRESENTATIONS, canonical
from trilineage.data.simulate.smears.patients import (
    SmearPatient,
    checked_patients,
    default_patients,
    draw_patient,
    read_patients,
)
from trilineage.data.simulate.smears.settings import SmearSettings
from trilineage.data.taxonomy import load_taxonomy

SETTINGS = SmearSettings()


def drawn(diagnosis, count=20, settings=SETTINGS):
    return [
        draw_patient(settings, SmearPatient(f"{diagnosis}-{number}", diagnosis)) for number in range(count)
    ]


def test_diagnoses_and_cell_types_are_nodes_of_the_taxonomies():
    leukemia, white_cells = load_taxonomy("leukemia"), load_taxonomy("white_cells")
    assert set(DIAGNOSES) == set(leukemia.leaves)
    assert {name for name in NAMES if name not in white_cells.nodes} == {"smudge_cell"}


def test_mixtures_name_known_cell_types_and_sum_to_about_one():
    for presentation in PRESENTATIONS:
        assert set(presentation.mixture) | set(presentation.shifts) <= set(NAMES)
        assert {name for shift in presentation.shifts.values() for name in shift} <= set(ATTRIBUTES)
        assert sum(presentation.mixture.values()) == pytest.approx(1.0, abs=0.03)


def test_acute_leukemias_have_blasts_and_the_others_few():
    shares = {name: np.mean([traits.blast_share for traits in drawn(name)]) for name in DIAGNOSES}
    assert min(shares[name] for name in ("ALL", "AML", "APML")) > 0.5
    assert max(shares[name] for name in ("normal", "reactive", "CLL", "CML")) < 0.1


@pytest.mark.parametrize("diagnosis", KNOWN)
def test_without_signal_a_patient_is_the_same_under_every_diagnosis(diagnosis):
    silent = SmearSettings(signal=0.0, background_signal=1.0)
    normal = draw_patient(silent, SmearPatient("P", "normal"))
    other = draw_patient(silent, SmearPatient("P", diagnosis))
    for name in ("shares", "means", "dyes", "red_cell_habit"):
        np.testing.assert_array_equal(getattr(other, name), getattr(normal, name))
    assert other[-2:] == normal[-2:]
    assert (other.site.name, other.presentation, other.red_cells) == (
        normal.site.name,
        "normal",
        normal.red_cells,
    )


def test_the_background_tells_the_diagnosis_only_if_asked_to():
    patient = SmearPatient("P", "ALL")
    plain, shown = (
        draw_patient(SETTINGS, patient),
        draw_patient(SETTINGS.replace(background_signal=1.0), patient),
    )
    normal = draw_patient(SETTINGS, SmearPatient("P", "normal"))
    assert (plain.red_cells, plain.platelets) == (normal.red_cells, normal.platelets)
    assert shown.red_cells == pytest.approx(0.7 * plain.red_cells)
    assert shown.platelets == pytest.approx(0.3 * plain.platelets)


def test_patients_explain_three_tenths_of_the_variance_of_an_attribute():
    means = np.stack([traits.means for traits in drawn("normal", 150)])
    spreads = np.stack([cell_type.spreads() for cell_type in CELL_TYPES])
    between = means[:, spreads > 0].var(axis=0) / spreads[spreads > 0] ** 2
    assert np.mean(between / (between + 1)) == pytest.approx(0.3, abs=0.03)


def test_sites_tell_nothing_unless_they_are_confounded():
    independent = {traits.site.name for traits in drawn("AML")}
    confounded = {traits.site.name for traits in drawn("AML", settings=SmearSettings(site_confounding=1.0))}
    assert len(independent) == 4
    assert len(confounded) == 1


def test_more_patients_leave_the_first_ones_as_they_were():
    more = default_patients(SmearSettings(n_patients_per_diagnosis=13))
    assert more[: SETTINGS.n_patients] == default_patients(SETTINGS)
    assert (
        default_patients(SmearSettings(first_patient=12, n_patients_per_diagnosis=1))
        == more[SETTINGS.n_patients :]
    )


def test_patients_of_an_expression_study_can_be_drawn(tmp_path):
    path = tmp_path / "obs.csv"
    path.write_text(
        "cell,donor_id,disease,site\na,D0001,healthy,site-2\nb,D0001,healthy,site-2\nc,D0006,MDS,\n"
    )
    patients = checked_patients(read_patients(path), SETTINGS)
    assert patients == (SmearPatient("D0001", "normal", 1), SmearPatient("D0006", "MDS", None))
    assert draw_patient(SETTINGS, patients[0]).site.name == "site-2"
    assert default_patients(SmearSettings(patients=str(path)))[1].name == "D0006"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,diagnosis\nA,normal\nA,ALL\n", "the same in every row"),
        ("name,diagnosis\nA,normal\n", "columns patient"),
        ("patient,diagnosis,site\nA,normal,Ulm\n", "this is no site"),
    ],
)
def test_a_list_that_is_no_list_of_patients_is_refused(tmp_path, text, words):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ConfigError, match=f"(?i){words}"):
        read_patients(tmp_path / "list.csv")


def test_a_list_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="(?i)check the path"):
        read_patients(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("patients", "words"),
    [
        ((), "at least one patient"),
        ((SmearPatient("A", "ALL"), SmearPatient("A", "AML")), "each once"),
        ((SmearPatient("../A", "ALL"),), "names of folders"),
        ((SmearPatient("A", "ALL", 4),), "set n_sites"),
        ((SmearPatient("A", "flu"),), "no diagnosis 'flu'"),
    ],
)
def test_patients_who_cannot_be_drawn_are_refused(patients, words):
    with pytest.raises(ConfigError, match=f"(?i){words}"):
        checked_patients(patients, SETTINGS)


def test_synonyms_mean_the_same_diagnosis():
    assert (canonical("healthy"), canonical("APL"), canonical("CML")) == ("normal", "APML", "CML")
