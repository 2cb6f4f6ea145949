"""A blinded review hides what is a control, and says how far reviewers agree and can be believed."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact
from sklearn.metrics import cohen_kappa_score

from trilineage.core.errors import ColumnError, ConfigError, DataError, FormatError
from trilineage.evaluation.agreement import AgreementSettings
from trilineage.evaluation.concepts.references import References
from trilineage.evaluation.concepts.review import CONTROL, ReviewSheet, read_review, review_sheet

QUICK = AgreementSettings(n_bootstrap=100)
NAMES = np.array([f"cell{i}.png" for i in range(100)])


@pytest.fixture
def references() -> References:
    images = np.arange(40).reshape(10, 4)
    images[3, 2:] = -1
    images[9] = -1
    return References(images, np.ones((10, 4), dtype=np.float32), np.zeros((10, 4), dtype=np.int32))


@pytest.fixture
def sheet(references) -> ReviewSheet:
    return review_sheet(references, range(9), n_controls=6, candidates=np.arange(40, 100), seed=1)


def filled(sheet, path, answer) -> None:
    """Fill in a sheet as a reviewer would: `answer` says what to write for a latent."""
    rows = list(csv.DictReader(sheet.to_csv(NAMES).splitlines()))
    for row, latent in zip(rows, sheet.latents.tolist(), strict=True):
        row["is_concept"] = answer(latent)
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_the_sheet_mixes_concepts_and_controls_and_does_not_say_which_is_which(sheet, references):
    assert sorted(sheet.latents.tolist()) == [CONTROL] * 6 + list(range(9))
    assert sheet.items == tuple(f"{i:03d}" for i in range(1, 16))
    assert sheet.latents.tolist() != sorted(sheet.latents.tolist())
    for latent, images in zip(sheet.latents, sheet.images, strict=True):
        if latent == CONTROL:
            assert (images[images >= 0] >= 40).all()
            assert len(set(images[images >= 0].tolist())) == (images >= 0).sum() >= 2
        else:
            assert (images == references.images[latent]).all()
    header, first = sheet.to_csv(NAMES).splitlines()[:2]
    assert header == "item,images,is_concept,name,note"
    assert first == f"001,{' '.join(NAMES[i] for i in sheet.images[0] if i >= 0)},,,"


def test_the_same_seed_gives_the_same_review(references):
    sheets = [
        review_sheet(references, range(9), n_controls=6, candidates=np.arange(100), seed=s) for s in (1, 1, 2)
    ]
    assert sheets[0].key() == sheets[1].key() != sheets[2].key()


def test_the_key_brings_the_sheet_back(sheet):
    again = ReviewSheet.from_key(json.loads(json.dumps(sheet.key())))
    assert again.to_csv(NAMES) == sheet.to_csv(NAMES)
    assert (again.latents == sheet.latents).all()


def test_what_reviewers_say_is_counted_beside_what_they_say_of_controls(sheet, tmp_path):
    filled(sheet, tmp_path / "kim.csv", lambda latent: "Yes" if latent >= 0 else "no")
    filled(sheet, tmp_path / "lee.csv", lambda latent: "" if latent == 8 else "yes" if latent % 2 else "no")
    review = read_review(sheet, {"Kim": tmp_path / "kim.csv", "Lee": tmp_path / "lee.csv"}, settings=QUICK)
    shares = {(score.subject, score.metric): score for score in review.confirmed}
    assert shares["Kim", "confirmed"].value == 1.0
    assert shares["Kim", "confirmed_controls"].value == 0.0
    lee = shares["Lee", "confirmed"]
    expected = binomtest(4, 8).proportion_ci(method="exact")
    assert (lee.n_samples, lee.low, lee.high) == (
        8,
        pytest.approx(expected.low),
        pytest.approx(expected.high),
    )
    assert review.p_values["Kim"] == pytest.approx(
        fisher_exact([[9, 0], [0, 6]], alternative="greater").pvalue
    )
    assert review.p_values["Lee"] > 0.5  # says yes to every control
    assert (review.votes[1], review.votes[2], review.votes[8]) == ((2, 2), (1, 2), (1, 1))


def test_agreement_is_kappa_over_the_items_that_both_answered(sheet, tmp_path):
    filled(sheet, tmp_path / "kim.csv", lambda latent: "yes" if latent > 3 else "no")
    filled(sheet, tmp_path / "lee.csv", lambda latent: "yes" if latent > 5 else "no")
    review = read_review(sheet, {"Kim": tmp_path / "kim.csv", "Lee": tmp_path / "lee.csv"}, settings=QUICK)
    (kappa,) = [score for score in review.agreement if score.metric == "cohen_kappa"]
    assert kappa.value == pytest.approx(cohen_kappa_score(sheet.latents > 3, sheet.latents > 5))


def test_one_reviewer_is_no_agreement(sheet, tmp_path):
    filled(sheet, tmp_path / "kim.csv", lambda _: "1")
    assert read_review(sheet, {"Kim": tmp_path / "kim.csv"}, settings=QUICK).agreement == ()


def test_a_review_of_nothing_is_refused(references):
    for latents, n_controls, candidates in (
        ([], 2, 100),
        ([9], 2, 100),
        ([10], 2, 100),
        ([0], -1, 100),
        ([0], 2, 3),
    ):
        with pytest.raises(ConfigError, match="a review cannot be made"):
            review_sheet(references, latents, n_controls=n_controls, candidates=np.arange(candidates))


def test_answers_to_another_review_or_in_other_words_are_refused(sheet, tmp_path):
    path = tmp_path / "kim.csv"
    filled(sheet, path, lambda _: "perhaps")
    with pytest.raises(FormatError, match="neither yes nor no; seen: 'perhaps' for item 001"):
        read_review(sheet, {"Kim": path})
    filled(sheet, path, lambda _: "")
    with pytest.raises(DataError, match="seen: no answer"):
        read_review(sheet, {"Kim": path})
    path.write_text("item,is_concept\n099,yes\n")
    with pytest.raises(DataError, match="items 099"):
        read_review(sheet, {"Kim": path})
    path.write_text("item,answer\n001,yes\n")
    with pytest.raises(ColumnError, match="is_concept"):
        read_review(sheet, {"Kim": path})
    with pytest.raises(DataError, match="nobody has reviewed"):
        read_review(sheet, {})


@pytest.mark.parametrize(
    "key", [{}, {"items": 3, "images": [], "seed": 0}, {"items": {"001": "x"}, "images": [], "seed": 0}]
)
def test_what_is_no_key_is_refused(key):
    with pytest.raises(FormatError, match="no key of a review"):
        ReviewSheet.from_key(key)
