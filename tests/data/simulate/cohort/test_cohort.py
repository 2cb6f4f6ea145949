"""A simulated cohort: who is in it, what each has, and files in which both kinds of data belong together."""

from collections import Counter

import anndata
import pandas as pd
import pytest

from trilineage.core.errors import ConfigError
from trilineage.data.simulate.cohort.patients import draw_cohort
from trilineage.data.simulate.cohort.settings import CohortSettings
from trilineage.data.simulate.cohort.write import simulate_cohort
from trilineage.data.simulate.truth import read_truth

SMALL = CohortSettings.load(
    None,
    {
        "diagnoses": ["normal", "AML", "CLL"],
        "n_train": 2,
        "n_valid": 1,
        "n_test": 2,
        "new_diagnoses": ["MDS"],
        "one_kind": 0.35,
        "smears.n_images_per_patient": 2,
        "smears.size": 32,
        "expression.n_cells_per_donor": 4,
        "expression.n_genes": 60,
    },
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort") / "cohort"
    simulate_cohort(SMALL, out)
    return out


def test_every_diagnosis_has_its_patients_in_every_part_and_new_ones_are_apart():
    counts = Counter((one.diagnosis, one.part) for one in draw_cohort(SMALL))
    assert {counts[name, part] for name in SMALL.diagnoses for part in ("train", "test")} == {2}
    assert {counts[name, "valid"] for name in SMALL.diagnoses} == {1}
    assert counts["MDS", "new"] == 1
    assert len(counts) == 10


def test_some_patients_of_each_part_lack_one_kind_and_nobody_lacks_both():
    patients = draw_cohort(CohortSettings(one_kind=0.5))
    assert all(one.has_smears or one.has_expression for one in patients)
    for part in ("train", "valid", "test"):
        lacking = Counter((one.has_smears, one.has_expression) for one in patients if one.part == part)
        assert abs(lacking[True, False] - lacking[False, True]) <= 1
        assert lacking[True, False] > 0
    assert all(one.has_smears and one.has_expression for one in patients if one.part == "new")


def test_subtypes_of_a_diagnosis_take_turns_and_can_be_left_out():
    subtypes = Counter(one.subtype for one in draw_cohort(CohortSettings()) if one.diagnosis == "AML")
    assert subtypes == {"NPM1": 7, "RUNX1::RUNX1T1": 5}
    assert all(one.subtype == one.diagnosis for one in draw_cohort(CohortSettings(subtypes=False)))


def test_images_and_cells_are_those_of_the_patients_with_diagnosis_site_and_part(folder):
    patients = pd.read_csv(folder / "patients.csv").set_index("patient")
    known = patients[patients["part"] != "new"]
    images = pd.read_csv(folder / "smears/images.csv").drop_duplicates("patient").set_index("patient")
    cells = anndata.read_h5ad(folder / "blood.h5ad").obs.drop_duplicates("donor_id").set_index("donor_id")
    assert set(images.index) == set(known.index[known["has_smears"]])
    assert set(cells.index) == set(known.index[known["has_expression"]])
    for table, diagnosis in ((images, "label"), (cells, "disease")):
        asked = known.loc[table.index]
        assert (table[diagnosis].astype(str) == asked["diagnosis"]).all()
        assert (table["part"].astype(str) == asked["part"]).all()
        assert (table["site"].astype(str) == asked["site"]).all()


def test_new_patients_lie_apart_in_the_same_world(folder):
    assert set(pd.read_csv(folder / "new/smears/images.csv")["label"]) == {"MDS"}
    known, new = (read_truth(folder / name) for name in ("blood.h5ad", "new/blood.h5ad"))
    assert set(new.donors["disease"]) == {"MDS"}
    assert known.program("AML") == new.program("AML")
    assert len(new.program("MDS")) > 0


def test_a_cohort_goes_on_where_it_stopped_and_refuses_other_settings(folder, tmp_path):
    before = (folder / "blood.h5ad").read_bytes()
    simulate_cohort(SMALL, folder)
    assert (folder / "blood.h5ad").read_bytes() == before
    with pytest.raises(ConfigError, match="other settings"):
        simulate_cohort(SMALL.replace(seed=1), folder)


def test_the_same_seed_gives_the_same_patients_wherever_the_folder_lies(folder, tmp_path):
    simulate_cohort(SMALL, tmp_path / "again")
    for name in ("patients.csv", "smears/images.csv", "smears/settings.toml"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    first, second = (anndata.read_h5ad(where / "blood.h5ad") for where in (folder, tmp_path / "again"))
    assert (first.X != second.X).nnz == 0


def test_new_diagnoses_must_not_be_learned_ones():
    with pytest.raises(ConfigError, match="no list of classes"):
        CohortSettings(new_diagnoses=("AML",))
