"""The genes behind the decision for each test patient, and how unlike training each held-out patient is."""

import shutil

import numpy as np
import pytest

from trilineage.core.artifacts import Run
from trilineage.evaluation.patient_profiles import mean_profiles
from trilineage.pipelines import rna
from trilineage.pipelines._rna.attribution import attributions
from trilineage.pipelines._rna.explain import kept_split, reference_means
from trilineage.pipelines._rna.material import gather
from trilineage.pipelines._rna.patient_genes import training_expression
from trilineage.pipelines._rna.store import read_diagnoser
from trilineage.pipelines._rna.unlike_training import expression_profiles


@pytest.fixture(scope="module")
def explained(fitted, tmp_path_factory):
    """A copy of the Run, explained with five samples of each patient."""
    copy = shutil.copytree(fitted.path, tmp_path_factory.mktemp("explained") / "run")
    return rna.explain(Run.open(copy), n_seeds=1, max_samples=30, per_patient=5, device="cpu")


@pytest.fixture(scope="module")
def material(quick):
    return gather(quick)


def rows_of(run, patient, speaks):
    table = run.read_table("explain/patient_genes.csv")
    chosen = [
        row
        for row, pair in enumerate(zip(table["patient"], table["speaks"], strict=True))
        if pair == (patient, speaks)
    ]
    return {name: [values[row] for row in chosen] for name, values in table.items()}


def test_every_test_patient_has_genes_for_and_against_its_decision(explained):
    prediction, patients = explained.predictions(), explained.read_table("patients.csv")
    called = dict(zip(patients["patient"], patients["predicted"], strict=True))
    for name in np.unique(prediction.patients).tolist():
        speaking, against = (rows_of(explained, name, speaks) for speaks in ("for", "against"))
        assert set(speaking["decision"]) == {called[name]}
        assert min(map(float, speaking["attribution"])) > 0 > max(map(float, against["attribution"]))


def test_the_attribution_of_a_patient_is_the_mean_over_its_samples(explained, material):
    stored = read_diagnoser(explained, "fold0", device=place())
    split = kept_split(explained, material, stored.config)
    table = explained.read_table("explain/patient_genes.csv")
    patient, decision = table["patient"][0], table["decision"][0]
    code = material.cohort.classes.index(decision)
    prediction = explained.predictions()
    named = prediction.samples[prediction.patients == patient]
    own = np.array([material.cohort.samples.tolist().index(name) for name in named.tolist()])
    own = own[np.linspace(0, len(own) - 1, 5).astype(int)]
    baseline = reference_means(material, split, stored.config, "rest")[code]
    ((_, values, _),) = attributions(stored.diagnoser, material, own, baseline, code, device=place())
    strongest = np.argsort(-values.mean(axis=0), kind="stable")[:5]
    shown = rows_of(explained, patient, "for")
    np.testing.assert_allclose(
        list(map(float, shown["attribution"][:5])), values.mean(axis=0)[strongest], rtol=1e-4
    )
    assert shown["symbol"][:5] == material.expression.genes.names[strongest].tolist()


def place():
    import torch

    return torch.device("cpu")


def test_training_expression_weighs_every_patient_the_same(explained, material):
    split = kept_split(explained, material, explained.config(rna.Config))
    found = training_expression(material, split)
    learned = split.positions("train")
    dense = material.expression.to_csr(material.rows[learned]).toarray()
    names = material.cohort.patients[learned]
    means = np.stack([dense[names == name].mean(axis=0) for name in np.unique(names)])
    np.testing.assert_allclose(found.mean, means.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.deviation, means.std(axis=0, ddof=1), atol=1e-5)


def test_held_out_patients_are_placed_among_the_validation_patients(fitted):
    table, split = fitted.read_table("unlike_training.csv"), fitted.read_table("split.csv")
    held_out = {
        (patient, part)
        for patient, part in zip(split["patient"], split["part"], strict=True)
        if part in ("valid", "test")
    }
    assert set(zip(table["patient"], table["part"], strict=True)) == held_out
    of_valid = [
        float(p) for p, part in zip(table["percentile"], table["part"], strict=True) if part == "valid"
    ]
    assert min(of_valid) == 0.0
    assert max(of_valid) < 100.0


def test_genes_of_patients_can_be_left_out(fitted, tmp_path):
    copy = shutil.copytree(fitted.path, tmp_path / "run")
    (copy / "explain" / "patient_genes.csv").unlink(missing_ok=True)
    run = rna.explain(Run.open(copy), n_seeds=1, max_samples=6, per_patient=0, device="cpu")
    assert not run.has("explain/patient_genes.csv")


def test_profiles_of_expression_are_the_means_of_the_samples(fitted):
    material = gather(fitted.config(rna.Config))
    rows, patients = material.rows, material.cohort.patients
    found = expression_profiles(material.expression, rows, patients)
    wanted = mean_profiles(material.expression.to_csr(rows).toarray(), patients)
    np.testing.assert_allclose(found.mean, wanted.mean, atol=1e-6)
    np.testing.assert_allclose(found.noise, wanted.noise, rtol=1e-4)
    assert found.n_samples.tolist() == wanted.n_samples.tolist()
