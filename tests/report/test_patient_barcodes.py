"""Pages of patients: whole, escaped, self-contained, and without what is not known."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from trilineage.core.errors import ArtifactError, NewerVersionError
from trilineage.report.patient_barcodes import PATIENTS_NAME, read_patients, write_patient_pages

HOSTILE = "<script>alert(1)</script>"
CLASSES = ("CBFB::MYH11", "NPM1", "control")


def made_up(n_concepts: int = 12, n_patients: int = 1) -> dict:
    """Return barcodes of patients of the second class."""
    rng = np.random.default_rng(0)
    means = rng.gamma(1.0, 2.0, (len(CLASSES), n_concepts)).round(3)
    quantiles = np.sort(rng.gamma(1.0, 2.0, (n_concepts, 5)), axis=1).round(3)
    names = {
        str(3 * n): {"name": f"purple granules, {CLASSES[n % 3]}", "is_draft": n % 2 == 0}
        for n in range(n_concepts)
        if n % 7
    }
    patients = []
    for number in range(n_patients):
        values = (means[1] * rng.uniform(0.6, 1.6, n_concepts)).round(3)
        standing = [
            {
                "latent": 3 * n,
                "value": float(values[n]),
                "low": float(0.8 * values[n]),
                "high": float(1.2 * values[n]),
                "share_below": 0.99 if n % 2 else 0.5,
                "deviation": 2.5,
                "quantiles": quantiles[n].tolist(),
                "pictures": [{"file": f"pictures/{n}.png", "caption": "cells of this patient"}]
                if n < 2
                else [],
            }
            for n in range(min(20, n_concepts))
        ]
        patients.append(
            {
                "patient": f"P{number}",
                "n_images": 120,
                "note": "",
                "label": "NPM1",
                "predicted": "NPM1",
                "probabilities": dict(zip(CLASSES, (0.1, 0.8, 0.1), strict=True)),
                "stripe": values.tolist(),
                "standing": standing,
                "nearest": [{"patient": "R7", "label": "NPM1", "distance": 0.12}],
            }
        )
    return {
        "kind": "trilineage patient barcodes",
        "version": 1,
        "made": {"run": "aml", "created": "2026-03-01T08:05:59+00:00", "trilineage": "0.1.0", "seed": 1},
        "n_reference": 50,
        "tau": 0.2,
        "uses_cls": True,
        "names": names,
        "stripes": {
            "latents": [3 * n for n in range(n_concepts)],
            "full": quantiles[:, 4].tolist(),
            "classes": dict(zip(CLASSES, means.tolist(), strict=True)),
        },
        "patients": patients,
    }


@pytest.fixture
def write(tmp_path):
    """Write barcodes and two pictures; return the text of the first page."""

    def make(found: dict) -> str:
        stream = io.BytesIO()
        Image.new("RGB", (30, 10), (120, 60, 140)).save(stream, "PNG")
        (tmp_path / "pictures").mkdir(exist_ok=True)
        for number in range(2):
            (tmp_path / "pictures" / f"{number}.png").write_bytes(stream.getvalue())
        (tmp_path / PATIENTS_NAME).write_text(json.dumps(found))
        write_patient_pages(tmp_path)
        return (tmp_path / "patients" / "0001.html").read_text()

    return make


def test_every_patient_has_a_page_and_a_line_in_the_list(write, tmp_path):
    write(made_up(n_concepts=2, n_patients=3))
    index = (tmp_path / "patients.html").read_text()
    for number in (1, 2, 3):
        assert f'href="patients/000{number}.html"' in index
        assert (tmp_path / "patients" / f"000{number}.html").is_file()


def test_a_page_has_barcode_cells_neighbours_and_classes(write):
    page = write(made_up())
    for anchor in ("barcode", "cells", "nearest", "classes", "made"):
        assert f'<section id="{anchor}"' in page
    assert "NPM1 (80 %)" in page
    assert page.count("data:image/png;base64") >= 2
    assert "6 concepts of those shown lie outside nine in ten of 50 reference patients." in page


def test_drafts_are_called_drafts(write):
    page = write(made_up())
    assert "purple granules, control (draft, 6)" in page
    assert "purple granules, NPM1 (3)" in page
    assert "latent 0" in page


def test_what_is_not_known_is_left_out(write):
    found = made_up()
    del found["stripes"], found["names"]
    found["patients"] = [{"patient": "P0", "n_images": 120, "note": "no latent is active in any cell"}]
    page = write(found)
    for anchor in ("cells", "nearest", "classes"):
        assert f'<section id="{anchor}"' not in page
    assert "<figure>" not in page
    assert "The barcode of 120 images." in page
    assert "no latent is active in any cell" in page


def test_hostile_names_stay_text(write, tmp_path):
    found = made_up()
    shares = {HOSTILE: 0.9}
    found["patients"][0] |= {
        "patient": HOSTILE,
        "label": HOSTILE,
        "predicted": HOSTILE,
        "probabilities": shares,
    }
    found["names"]["3"]["name"] = HOSTILE
    found["stripes"]["classes"] = {HOSTILE: found["stripes"]["full"]}
    page = write(found)
    assert page.count("<script") == 1
    assert (tmp_path / "patients.html").read_text().count("<script") == 1


def test_pictures_outside_the_folder_are_not_shown(write, tmp_path):
    found = made_up()
    secret = tmp_path.parent / "secret.png"
    Image.new("RGB", (4, 4)).save(secret)
    for one in found["patients"][0]["standing"]:
        one["pictures"] = [{"file": "../secret.png", "caption": "x"}]
    assert '<section id="cells"' not in write(found)


def test_the_same_barcodes_give_the_same_bytes(write):
    assert write(made_up()) == write(made_up())


def test_no_file_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(ArtifactError, match="concepts predict"):
        write_patient_pages(tmp_path)


@pytest.mark.parametrize(
    "content", ["[", "[]", '{"kind": "x"}', '{"kind": "trilineage patient barcodes", "version": 1}']
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / PATIENTS_NAME).write_text(content)
    with pytest.raises(ArtifactError, match="damaged"):
        read_patients(tmp_path)


def test_barcodes_of_a_newer_version_are_refused(tmp_path):
    (tmp_path / PATIENTS_NAME).write_text(json.dumps({**made_up(), "version": 9}))
    with pytest.raises(NewerVersionError, match="version 9"):
        read_patients(tmp_path)


def test_damaged_patients_are_named(write):
    found = made_up()
    del found["patients"][0]["n_images"]
    with pytest.raises(ArtifactError, match="n_images"):
        write(found)
