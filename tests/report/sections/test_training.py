"""Training curves are found wherever the recipe nested them."""

import math

from trilineage.report.sections.training import curves_of, stages_of, training_section

EPOCHS = [
    {"epoch": 1, "step": 5, "loss": 0.7, "learning_rate": 0.001},
    {"epoch": 2, "step": 10, "loss": 0.5, "accuracy": 0.8},
]


def test_a_list_of_epochs_becomes_a_curve_per_name():
    curves = curves_of(EPOCHS)
    assert curves["loss"] == [0.7, 0.5]
    assert math.isnan(curves["accuracy"][0])
    assert not {"epoch", "step"} & set(curves)


def test_what_is_no_stage_has_no_curve():
    assert [curves_of(value) for value in (1.4, None, [], {}, {"epochs": []})] == [{}, {}, {}, {}, {}]


def test_splits_of_the_same_stage_are_brought_together():
    history = {
        f"fold {i}": {"autoencoder": {"epochs": EPOCHS, "n_steps": 10}, "temperature": 1.2} for i in range(3)
    }
    assert {name: len(splits) for name, splits in stages_of(history).items()} == {"autoencoder": 3}


def test_the_figure_says_where_training_ended(bare_run):
    bare_run.write_json("history.json", {"holdout": {"classifier": {"epochs": EPOCHS}, "autoencoder": None}})
    (figure,) = training_section(bare_run).blocks
    assert "classifier, 2 epochs, at the end: loss 0.500" in figure.description


def test_a_run_that_trained_nothing_has_no_section(bare_run):
    bare_run.write_json("history.json", {"holdout": {"autoencoder": None, "temperature": 1.0}})
    assert training_section(bare_run) is None
