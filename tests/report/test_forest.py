"""The forest plot shows every score, with and without an interval."""

from trilineage.core.records import Score
from trilineage.report.forest import Panel, forest

SCORES = (
    Score("balanced_accuracy", 0.9, 0.8, 0.95),
    Score("balanced_accuracy", 0.25, None, None, "baseline: majority"),
    Score("balanced_accuracy", float("nan"), None, None, "baseline: composition"),
    Score("balanced_accuracy", 0.3, 0.2, 0.4, "null: permuted patients"),
    Score("balanced_accuracy", 0.99, 0.9, 1.0, "model on training patients (leaky)"),
)


def test_every_score_is_written_beside_its_row():
    svg = forest("f", [Panel("per patient", SCORES)], title="Scores").svg
    for text in ("0.900 (0.800–0.950)", "0.250", "–", "0.300 (0.200–0.400)", "majority", "permuted patients"):
        assert f">{text}</text>" in svg


def test_the_description_says_every_score():
    figure = forest("f", [Panel("per patient", SCORES)], title="Scores")
    assert "per patient: model 0.900 (0.800–0.950); baseline: majority 0.250;" in figure.description


def test_the_caption_explains_what_is_drawn_and_nothing_else():
    with_all = forest("f", [Panel("p", SCORES)], title="Scores", chance=0.25).caption
    with_model = forest("f", [Panel("p", SCORES[:1])], title="Scores").caption
    assert ("Cross: leaky" in with_all, "Dashed line" in with_all) == (True, True)
    assert ("Cross: leaky" in with_model, "Dashed line" in with_model) == (False, False)
