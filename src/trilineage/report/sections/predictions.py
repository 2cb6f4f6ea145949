"""What was predicted: the confusion matrix, the reliability of the probabilities, and every patient."""

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from trilineage.core.artifacts import Run
from trilineage.core.records import Prediction
from trilineage.core.seeding import generator
from trilineage.evaluation.intervals import aggregate_patients
from trilineage.evaluation.metrics import confusion_matrix
from trilineage.evaluation.patient_sums import patient_sums
from trilineage.report.blocks import Block, Figure, Fold, Section, Table, Text
from trilineage.report.drawing import INK, MODEL, SECOND, WIDTH_IN, draw
from trilineage.report.matrix import label_cells, paint_share
from trilineage.report.numbers import counted, number

MAX_PATIENTS_DRAWN = 80
"""Above this number a row per patient cannot be read; dots per class are drawn instead."""
MAX_PATIENTS_LISTED = 500
_N_BOOTSTRAP = 1000


def predictions_section(run: Run) -> Section | None:
    """Show where the model is right and wrong."""
    if not run.has("predictions.npz"):
        return None
    prediction = labelled(run.predictions())
    if len(prediction.samples) == 0:
        return None
    patients = patient_prediction(prediction)
    blocks: list[Block] = [confusion_figure(prediction, patients), reliability_figure(prediction, run.seed)]
    if patients is None:
        blocks.append(Text("Patients carry several labels, so there is no diagnosis per patient to show."))
    else:
        draw_patients = heat_figure if len(patients.samples) <= MAX_PATIENTS_DRAWN else dots_figure
        blocks += [draw_patients(patients), Fold("Every patient", (patient_table(patients),))]
    return Section("predictions", "Predictions on held-out patients", tuple(blocks))


def labelled(prediction: Prediction) -> Prediction:
    """Keep the samples whose truth is known."""
    if prediction.labels is None:
        kept = np.zeros(len(prediction.samples), dtype=bool)
        labels = np.full(len(kept), -1)[kept]
    else:
        kept = prediction.labels >= 0
        labels = prediction.labels[kept]
    return Prediction(
        prediction.samples[kept],
        prediction.patients[kept],
        prediction.classes,
        prediction.probabilities[kept],
        labels,
    )


def patient_prediction(prediction: Prediction) -> Prediction | None:
    """Return the mean probabilities per patient; None where a patient carries several labels."""
    pairs = set(zip(prediction.patients.tolist(), truth(prediction).tolist(), strict=True))
    if len(pairs) > len(np.unique(prediction.patients)):
        return None
    return aggregate_patients(prediction)


def truth(prediction: Prediction) -> Int[np.ndarray, " sample"]:
    """Return the labels of predictions that are known to have them."""
    assert prediction.labels is not None
    return prediction.labels


# ---- confusion ----------------------------------------------------------------------------------------------------


def confusion_figure(prediction: Prediction, patients: Prediction | None) -> Figure:
    """Draw who is taken for what, per patient and per sample."""
    shown = (
        [("Per patient", patients)] if patients and len(patients.samples) < len(prediction.samples) else []
    )
    shown.append(("Per sample", prediction))
    matrices = [(heading, _confusion(one)) for heading, one in shown if one is not None]
    n_classes = len(prediction.classes)
    is_stacked = n_classes > 8
    side = min(WIDTH_IN / (1 if is_stacked else 2), 1.6 + (0.34 if is_stacked else 0.42) * n_classes)

    def paint(canvas: Canvas) -> None:
        shape = (len(matrices), 1) if is_stacked else (1, len(matrices))
        for axes, (heading, counts) in zip(
            canvas.subplots(*shape, squeeze=False).flat, matrices, strict=True
        ):
            _paint_confusion(axes, counts, prediction.classes, heading)

    return draw(
        "confusion",
        paint,
        title="Confusion matrix",
        description=_confusion_in_words(matrices, prediction.classes),
        caption="Rows: the true class. Columns: the class called. Numbers are counts; shades are shares of the row.",
        height_in=side * (len(matrices) if is_stacked else 1) + 0.4,
        width_in=WIDTH_IN if len(matrices) > 1 and not is_stacked else min(WIDTH_IN, side + 1.2),
    )


def _confusion(prediction: Prediction) -> Float[np.ndarray, "class class"]:
    called = prediction.probabilities.argmax(axis=1)
    return confusion_matrix(truth(prediction), called, len(prediction.classes))


def _paint_confusion(
    axes: Axes, counts: Float[np.ndarray, "class class"], classes: tuple[str, ...], heading: str
) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 8 if len(classes) <= 8 else 6.5
    for (row, column), share in np.ndenumerate(shares):
        paint_share(axes, row, column, float(share), SECOND if row != column else MODEL)
        weight = "bold" if row == column else "normal"
        if counts[row, column] > 0:
            axes.text(
                column,
                row,
                f"{int(counts[row, column]):,}",
                ha="center",
                va="center",
                size=size,
                weight=weight,
            )
    label_cells(axes, classes, classes)
    axes.set(title=f"{heading} (rows: true, columns: called)", aspect="equal")


def _confusion_in_words(matrices: list[tuple[str, np.ndarray]], classes: tuple[str, ...]) -> str:
    parts = []
    for heading, counts in matrices:
        right = "; ".join(
            f"{name} {int(counts[i, i]):,} of {int(counts[i].sum()):,}" for i, name in enumerate(classes)
        )
        parts.append(f"{heading}, called right: {right}.")
    return " ".join(parts)


# ---- calibration --------------------------------------------------------------------------------------------------


def reliability_figure(prediction: Prediction, seed: int) -> Figure:
    """Draw how often the class called was right against the probability it was given."""
    terms = patient_sums([prediction], [])[0].calibration
    used = terms[:, :, 0].sum(axis=0) > 0
    total = terms.sum(axis=0)[used]
    said, right = total[:, 2] / total[:, 0], total[:, 1] / total[:, 0]
    low, high = reliability_interval(terms[:, used], seed)

    def paint(canvas: Canvas) -> None:
        upper, lower = canvas.subplots(2, sharex=True, height_ratios=(4, 1))
        upper.plot([0, 1], [0, 1], color=INK, linestyle=(0, (4, 3)), linewidth=0.8, alpha=0.6)
        upper.vlines(said, low, high, color=MODEL, linewidth=2, alpha=0.55)
        upper.plot(said, right, "o-", color=MODEL, markersize=5)
        upper.set(ylim=(0, 1.02), ylabel="Share called right")
        lower.bar(said, total[:, 0] / total[:, 0].sum(), width=0.03, color=MODEL)
        lower.set(xlim=(0, 1.02), xlabel="Probability of the class called", ylabel="Samples")
        lower.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        for axes in (upper, lower):
            axes.grid()

    points = "; ".join(f"said {number(s, 2)}, right {number(r, 2)}" for s, r in zip(said, right, strict=True))
    return draw(
        "calibration",
        paint,
        title="Reliability of the probabilities",
        description=f"Mean probability of the class called and share of calls that are right, per bin: {points}.",
        caption="On the dashed line a probability means what it says; under it the model is too sure. Bars: 95 % "
        "intervals from a bootstrap over patients. Below: where the samples lie.",
        height_in=4.2,
        width_in=5.2,
    )


def reliability_interval(
    terms: Float[np.ndarray, "patient bin 3"], seed: int
) -> tuple[Float[np.ndarray, " bin"], Float[np.ndarray, " bin"]]:
    """Return the ends of the 95 % interval of each bin's share of right calls, patients drawn with replacement."""
    n_patients = len(terms)
    rng = generator(seed, "report", "reliability")
    drawn = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=_N_BOOTSTRAP)
    total, right = drawn @ terms[:, :, 0], drawn @ terms[:, :, 1]
    observed = terms[:, :, 1].sum(axis=0) / terms[:, :, 0].sum(axis=0)
    shares = np.where(
        total > 0, right / np.maximum(total, 1), observed
    )  # a bin nobody drawn is in says nothing new
    low, high = np.quantile(shares, (0.025, 0.975), axis=0)
    return low, high


# ---- patients -----------------------------------------------------------------------------------------------------


def heat_figure(patients: Prediction) -> Figure:
    """Draw the probabilities of every patient, a row each, sorted by true class and certainty."""
    order = _by_class_and_certainty(patients)
    labels, probabilities = truth(patients)[order], patients.probabilities[order]
    names = tuple(patients.samples[order].tolist())

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for (row, column), share in np.ndenumerate(probabilities):
            is_true = column == labels[row]
            paint_share(axes, row, column, float(share), MODEL if is_true else SECOND)
            if share >= 0.05:
                axes.text(column, row, f"{share:.2f}", ha="center", va="center", size=7)
            if is_true:
                axes.add_patch(
                    Rectangle(
                        (column - 0.47, row - 0.44), 0.94, 0.88, fill=False, edgecolor=INK, linewidth=0.8
                    )
                )
        label_cells(axes, names, patients.classes)
        for row in np.flatnonzero(np.diff(labels)):
            axes.axhline(row + 0.5, color=INK, linewidth=0.5, alpha=0.5)

    return draw(
        "patients",
        paint,
        title="Every held-out patient",
        description=_patients_in_words(patients),
        caption="Mean probability of each class over the samples of a patient: the share of the evidence, not the "
        "chance that the diagnosis is right. Framed: the true class. Blue: given to the truth; "
        "orange: given to another class.",
        height_in=1.0 + 0.2 * len(names),
        width_in=min(WIDTH_IN, 2.4 + 0.75 * len(patients.classes)),
    )


def dots_figure(patients: Prediction) -> Figure:
    """Draw one dot per patient: the probability given to the true class."""
    labels = truth(patients)
    own = np.take_along_axis(patients.probabilities, labels[:, None], axis=1)[:, 0]
    is_right = patients.probabilities.argmax(axis=1) == labels

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for code in range(len(patients.classes)):
            members = np.flatnonzero(labels == code)
            spread = code + 0.7 * (
                (np.argsort(np.argsort(own[members])) * 0.618) % 1 - 0.5
            )  # even, not random
            for chosen, marker, colour in ((True, "o", MODEL), (False, "x", SECOND)):
                shown = is_right[members] == chosen
                axes.plot(
                    own[members][shown], spread[shown], marker, color=colour, markersize=3.5, alpha=0.75
                )
        axes.set_yticks(range(len(patients.classes)), patients.classes)
        axes.set(xlim=(-0.02, 1.02), ylim=(len(patients.classes) - 0.4, -0.6))
        axes.set_xlabel("Mean probability of the true class")
        axes.grid(axis="x")

    return draw(
        "patients",
        paint,
        title="Every held-out patient",
        description=_patients_in_words(patients),
        caption="One mark per patient. Circle: called right; cross: called another class.",
        height_in=0.8 + 0.55 * len(patients.classes),
    )


def patient_table(patients: Prediction) -> Table:
    """List each patient with truth, call and probability; wrong calls first."""
    order = _by_class_and_certainty(patients)
    called = patients.probabilities.argmax(axis=1)
    wrong_first = sorted(order.tolist(), key=lambda i: bool(called[i] == truth(patients)[i]))[
        :MAX_PATIENTS_LISTED
    ]
    rows = tuple(
        (
            str(patients.samples[i]),
            patients.classes[truth(patients)[i]],
            patients.classes[called[i]],
            number(float(patients.probabilities[i, called[i]]), 2),
            number(float(patients.probabilities[i, truth(patients)[i]]), 2),
        )
        for i in wrong_first
    )
    cut = len(order) - len(rows)
    more = f" {cut:,} more are in patients.csv." if cut else ""
    return Table(
        f"Held-out patients, wrong calls first.{more}",
        ("Patient", "True class", "Called", "Probability of the call", "Probability of the truth"),
        rows,
        n_text_columns=3,
    )


def _by_class_and_certainty(patients: Prediction) -> Int[np.ndarray, " patient"]:
    labels = truth(patients)
    own = np.take_along_axis(patients.probabilities, labels[:, None], axis=1)[:, 0]
    return np.lexsort((patients.samples, -own, labels))


def _patients_in_words(patients: Prediction) -> str:
    called = patients.probabilities.argmax(axis=1)
    wrong = np.flatnonzero(called != truth(patients))
    calls = "; ".join(
        f"{patients.samples[i]}, {patients.classes[truth(patients)[i]]}, called {patients.classes[called[i]]}"
        for i in wrong[:20]
    )
    right = len(patients.samples) - len(wrong)
    listed = f" Called wrong: {calls}." if len(wrong) else ""
    return f"{right:,} of {counted(len(patients.samples), 'patient')} called right.{listed}"
