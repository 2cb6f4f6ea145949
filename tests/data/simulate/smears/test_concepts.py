"""Planted concepts lie where the truth says and change nothing else; without them nothing tells diagnoses apart."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trilineage.core.errors import ConfigError
from trilineage.core.seeding import generator
from trilineage.data.regions import mask_files, read_mask
from trilineage.data.simulate.smears.cell_types import ATTRIBUTES, NAMES
from trilineage.data.simulate.smears.cohort import all_patients, simulate_smears
from trilineage.data.simulate.smears.concepts import CONCEPTS, column_of, with_concepts
from trilineage.data.simulate.smears.diagnoses import AML_SUBTYPES, PRESENTATIONS, SHARED_BLOOD, concepts_of
from trilineage.data.simulate.smears.patients import SmearPatient, checked_patients, draw_patient
from trilineage.data.simulate.smears.render import CYTOPLASM, NUCLEUS, render_image
from trilineage.data.simulate.smears.scene import draw_scene
from trilineage.data.simulate.smears.settings import SmearSettings, preset_options
from trilineage.data.simulate.smears.write import simulate_to_folder

AML = SmearSettings.load(None, preset_options("aml")).replace(size=48)
SUBTYPES = AML_SUBTYPES[:4]


@pytest.fixture(scope="module")
def cells():
    """Cells of 5 patients of each diagnosis, of types that can carry concepts, as they are before painting."""
    carriers = ("myeloblast", "promyelocyte", "eosinophil")
    settings = AML.replace(shared_mixture=True, n_patients_per_diagnosis=5, cell_types=carriers)
    settings = settings.replace(neighbours=0.0, platelet_density=0.0, red_cell_density=0.0)
    rows = []
    for patient in all_patients(settings, None):
        traits = draw_patient(settings, patient)
        for number in range(16):
            scene = draw_scene(settings, traits, generator(settings.seed, patient.name, number))
            _, cell = with_concepts(scene, settings, traits, number).white_cells[-1]
            row = {name: name in cell.concepts for name in CONCEPTS} | dict(
                zip(ATTRIBUTES, cell.attributes, strict=True)
            )
            rows.append(
                row | {"patient": patient.name, "diagnosis": patient.diagnosis, "cell_type": cell.name}
            )
    return pd.DataFrame(rows)


def pair(concept, number=0):
    """Draw one cell that can carry a concept, without it and with it."""
    carrier = CONCEPTS[concept].carriers[0]
    settings = AML.replace(cell_types=(carrier,), size=96)
    diagnosis = next(name for name in SUBTYPES if concept in concepts_of([name]))
    traits = draw_patient(settings, SmearPatient("P", diagnosis))
    images = [render_image(settings, traits._replace(concepts={concept: share}), number) for share in (0, 1)]
    return *images, images[1].planted[settings.concepts.index(concept)]


def differ(table, column):
    """Return the p-value of patients of the diagnoses having the same mean of a column."""
    means = table.groupby(["diagnosis", "patient"])[column].mean().groupby("diagnosis")
    groups = [group.to_numpy(float) for _, group in means]
    return 1.0 if np.ptp(np.concatenate(groups)) == 0 else stats.kruskal(*groups).pvalue


def test_the_tables_name_concepts_carriers_and_diagnoses_that_there_are():
    assert set(AML.concepts) == set(CONCEPTS)
    for concept in CONCEPTS.values():
        assert set(concept.carriers) <= set(NAMES)
        assert set(concept.carriers) & set(SHARED_BLOOD.mixture)
    for presentation in PRESENTATIONS:
        for name in presentation.concepts:
            assert set(CONCEPTS[name].carriers) & set(presentation.mixture)
    assert concepts_of(["control", "AML", "APML"]) == ()


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_concept_changes_the_picture_where_its_mask_is_and_nowhere_else(concept):
    without, with_it, mask = pair(concept)
    change = np.abs(with_it.pixels.astype(int) - without.pixels).max(axis=2)
    inside = np.isin(without.codes, (CYTOPLASM, NUCLEUS))
    assert mask.sum() >= 15
    assert not without.planted.any()
    assert inside[mask].all()
    assert np.median(change[mask]) > 12
    reached = np.zeros_like(mask)
    for rows, columns in zip(*np.nonzero(mask), strict=True):
        reached[max(rows - 4, 0) : rows + 5, max(columns - 4, 0) : columns + 5] = True
    assert change[~reached].max() <= 1


def test_a_cup_is_cut_out_of_the_nucleus():
    without, with_it, mask = pair("cup_nucleus")
    assert (without.codes[mask] == NUCLEUS).mean() > 0.8
    assert (with_it.codes[mask] == CYTOPLASM).mean() > 0.8
    assert with_it.objects[0]["nucleus_um2"] < 0.93 * without.objects[0]["nucleus_um2"]


@pytest.mark.parametrize("diagnosis", SUBTYPES)
def test_only_cells_that_can_carry_them_have_the_concepts_of_their_diagnosis(cells, diagnosis):
    table = cells[cells["diagnosis"] == diagnosis]
    for name, concept in CONCEPTS.items():
        assert table[name].any() == (name in concepts_of([diagnosis]))
        assert set(table.loc[table[name], "cell_type"]) <= set(concept.carriers)


def test_diagnoses_differ_in_the_planted_concepts_and_in_nothing_else(cells):
    is_carrier = {name: cells["cell_type"].isin(concept.carriers) for name, concept in CONCEPTS.items()}
    for presentation in PRESENTATIONS:
        for name, typical in presentation.concepts.items():
            own = cells[is_carrier[name] & (cells["diagnosis"] == presentation.diagnosis)]
            assert own[name].mean() == pytest.approx(typical, abs=0.3)
    assert min(differ(cells, name) for name in ATTRIBUTES) > 0.05 / len(ATTRIBUTES)


def test_masks_are_there_where_the_truth_says_so():
    cohort = simulate_smears(AML.replace(n_patients_per_diagnosis=1, n_images_per_patient=8))
    for place, name in enumerate(cohort.settings.concepts):
        has_it = cohort.objects[column_of(name)].to_numpy(bool)
        np.testing.assert_array_equal(cohort.planted[:, place].any(axis=(1, 2)), has_it)


@pytest.mark.parametrize("diagnosis", SUBTYPES)
def test_without_planted_concepts_a_patient_is_the_same_under_every_diagnosis(diagnosis):
    bare = AML.replace(planted=False, shared_mixture=True)
    for number in range(3):
        control, other = (
            render_image(bare, draw_patient(bare, SmearPatient("P", name)), number)
            for name in ("normal", diagnosis)
        )
        np.testing.assert_array_equal(other.pixels, control.pixels)
        assert other.objects == control.objects


def test_with_a_shared_mixture_patients_of_all_diagnoses_have_the_same_differential_count():
    settings = AML.replace(planted=False, shared_mixture=True, n_patients_per_diagnosis=30)
    traits = [draw_patient(settings, patient) for patient in all_patients(settings, None)]
    table = pd.DataFrame(np.stack([one.shares for one in traits]), columns=list(NAMES))
    table = table.assign(patient=[one.name for one in traits], diagnosis=[one.diagnosis for one in traits])
    assert min(differ(table, name) for name in SHARED_BLOOD.mixture) > 0.05 / len(SHARED_BLOOD.mixture)


def test_no_signal_plants_nothing():
    settings = AML.replace(signal=0.0)
    assert draw_patient(settings, SmearPatient("P", "NPM1")).concepts == {}


def test_patients_vary_around_the_share_of_their_diagnosis():
    shares = [draw_patient(AML, SmearPatient(f"P{n}", "NPM1")).concepts["cup_nucleus"] for n in range(200)]
    assert np.mean(shares) == pytest.approx(0.4, abs=0.03)
    assert np.std(shares) == pytest.approx(0.136, abs=0.02)


def test_the_folder_has_columns_shares_and_masks_of_concepts(tmp_path):
    settings = AML.replace(diagnoses=("NPM1", "control"), n_patients_per_diagnosis=1, n_images_per_patient=12)
    simulate_to_folder(settings, tmp_path)
    truth, patients = pd.read_csv(tmp_path / "truth.csv"), pd.read_csv(tmp_path / "patients.csv")
    cups = {path.rsplit("/", 1)[1][:-4] for path in truth.loc[truth["has_cup_nucleus"], "file"]}
    files = mask_files(tmp_path / "masks" / "cup_nucleus")
    assert set(files) == cups
    assert all(read_mask(path).any() for path in files.values())
    assert patients.set_index("diagnosis")["share_cup_nucleus"]["normal"] == 0


def test_in_fields_every_white_cell_may_have_concepts():
    settings = AML.replace(product="fields", size=200, field_um=90.0, n_white_cells=11.0)
    traits = draw_patient(settings, SmearPatient("P", "NPM1"))._replace(concepts={"cup_nucleus": 1.0})
    field = render_image(settings, traits, 0)
    cups = [row for row in field.objects if row.get("has_cup_nucleus")]
    assert len(cups) == sum(row["cell_type"] == "myeloblast" for row in field.objects) >= 2
    mask = field.planted[settings.concepts.index("cup_nucleus")]
    whole = [row for row in cups if row["is_whole"]]
    assert all(mask[row["y0"] : row["y1"], row["x0"] : row["x1"]].any() for row in whole)


def test_concepts_that_the_truth_has_no_column_for_are_refused():
    patients = [SmearPatient("A", "NPM1")]
    with pytest.raises(ConfigError, match="(?i)add NPM1 to `diagnoses`"):
        checked_patients(patients, SmearSettings())
    assert checked_patients(patients, SmearSettings(planted=False)) == tuple(patients)


def test_an_unknown_preset_is_answered_with_those_there_are():
    with pytest.raises(ConfigError, match="(?i)no preset 'alm'.*aml"):
        preset_options("alm")
