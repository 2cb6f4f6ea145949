"""A cohort shows its diagnoses, sites and patients in the pixels, and nothing of a diagnosis without signal."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trilineage.data.simulate.smears.cohort import IMAGE_COLUMNS, OBJECT_COLUMNS, simulate_smears
from trilineage.data.simulate.smears.patients import SmearPatient
from trilineage.data.simulate.smears.render import BACKGROUND, RED_CELL
from trilineage.data.simulate.smears.settings import SmearSettings

SETTINGS = SmearSettings(size=24, canvas_um=0.2, n_patients_per_diagnosis=4, n_images_per_patient=6)


@pytest.fixture(scope="module")
def smears():
    return simulate_smears(SETTINGS)


def dark_area(cohort):
    """Share of dark pixels, about the nucleus, averaged by patient, with the patients' diagnoses."""
    dark = (cohort.pixels[..., 1] < 110).mean(axis=(1, 2))
    table = cohort.images.assign(dark=dark).groupby("patient", sort=False)
    return table["dark"].mean().to_numpy(), table["diagnosis"].first().to_numpy()


def differs_by(values, groups):
    return stats.kruskal(*[values[groups == group] for group in np.unique(groups)]).pvalue


def features(cohort):
    """Colours and areas that need no model: quantiles of each colour near the middle, and saturation."""
    middle = cohort.pixels[:, 5:-5, 5:-5].reshape(len(cohort.pixels), -1, 3).astype(float)
    edges = (
        np.quantile(middle, [0.02, 0.1, 0.25, 0.5, 0.75], axis=1).transpose(1, 0, 2).reshape(len(middle), -1)
    )
    red_blue = np.quantile(middle[:, :, 0] - middle[:, :, 2], [0.1, 0.5, 0.9], axis=1).T
    dark = (middle[:, :, 1:2] < np.array([70, 100, 140, 180])).mean(axis=1)
    return np.concatenate([edges, red_blue, dark], axis=1)


def test_the_tables_have_a_row_per_image_and_labels_that_were_asked_for(smears):
    assert list(smears.images.columns) == list(IMAGE_COLUMNS)
    assert list(smears.objects.columns) == list(OBJECT_COLUMNS)
    assert smears.images["path"].is_unique
    assert (smears.images["path"] == smears.objects["file"]).all()
    assert (smears.images["label"] == smears.images["diagnosis"]).all()


def test_the_diagnosis_shows_in_truth_and_pixels_with_signal(smears):
    values, groups = dark_area(smears)
    assert differs_by(values, groups) < 0.01
    ratio = smears.objects.groupby("patient")["nc_ratio"].mean()
    diagnosis = smears.patients.set_index("patient")["diagnosis"]
    assert differs_by(ratio.to_numpy(), diagnosis[ratio.index].to_numpy()) < 1e-3


def test_without_signal_the_diagnosis_shows_nowhere():
    silent = simulate_smears(SETTINGS.replace(signal=0.0))
    values, groups = dark_area(silent)
    assert differs_by(values, groups) > 0.05
    assert silent.patients["blast_share"].max() == 0
    assert set(silent.images["cell_type"]) <= {
        "segmented_neutrophil",
        "band_neutrophil",
        "typical_lymphocyte",
        "monocyte",
        "eosinophil",
        "basophil",
    }


def test_outside_the_cell_no_diagnosis_shows(smears):
    shares = (smears.codes == RED_CELL).sum(axis=(1, 2)) / (smears.codes <= RED_CELL).sum(axis=(1, 2))
    by_patient = smears.images.assign(share=shares).groupby("patient", sort=False)
    values, groups = by_patient["share"].mean().to_numpy(), by_patient["diagnosis"].first().to_numpy()
    assert differs_by(values, groups) > 0.01


def test_sites_differ_in_stain_and_background_unless_told_not_to(smears):
    def between_sites(cohort):
        glass = [
            pixels[codes == BACKGROUND].mean(axis=0)
            for pixels, codes in zip(cohort.pixels, cohort.codes, strict=True)
        ]
        means = cohort.images[["site"]].assign(blue=np.array(glass)[:, 2]).groupby("site")["blue"].mean()
        return means.max() - means.min()

    plain = simulate_smears(SETTINGS.replace(site_effect=0.0, n_patients_per_diagnosis=2))
    assert between_sites(smears) > 10
    assert between_sites(plain) < 5


def test_images_of_a_patient_resemble_each_other(smears):
    red = [
        pixels[codes == RED_CELL].mean() for pixels, codes in zip(smears.pixels, smears.codes, strict=True)
    ]
    table = smears.images.assign(red=red)
    within = table.groupby("patient")["red"].var().mean()
    assert table["red"].var() > 2 * within


def test_a_linear_probe_of_colours_and_areas_tells_cell_types_apart():
    types = ("segmented_neutrophil", "eosinophil", "basophil", "monocyte", "typical_lymphocyte", "platelet")
    cohort = simulate_smears(
        SETTINGS.replace(cell_types=types, label="cell_type", n_images_per_patient=6, site_effect=0.5)
    )
    labels, x = cohort.images["label"].to_numpy(), features(cohort)
    is_train = cohort.images["patient"].isin(cohort.patients["patient"][::2]).to_numpy()
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    accuracy = probe.fit(x[is_train], labels[is_train]).score(x[~is_train], labels[~is_train])
    assert accuracy > 0.75


def test_both_modalities_can_share_a_cohort():
    patients = (SmearPatient("D0003", "ALL", 2), SmearPatient("D0001", "healthy", 0))
    cohort = simulate_smears(SETTINGS.replace(n_images_per_patient=2), patients)
    assert cohort.patients[["patient", "diagnosis", "site"]].to_numpy().tolist() == [
        ["D0003", "ALL", "site-3"],
        ["D0001", "normal", "site-1"],
    ]


def test_smudge_cells_have_no_label_among_cell_types():
    cohort = simulate_smears(
        SETTINGS.replace(label="cell_type", n_images_per_patient=25), [SmearPatient("C", "CLL")]
    )
    smudged = cohort.images["cell_type"] == "smudge_cell"
    assert smudged.any()
    assert ((cohort.images["label"] == "") == smudged).all()
