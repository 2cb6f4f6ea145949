"""Every held-out patient: the decision, the probability of each node, wrong ones first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Figure, Fold, Section, Table
from trilineage.report.drawing import INK, MODEL, SECOND, WIDTH_IN, draw
from trilineage.report.matrix import label_cells, paint_share
from trilineage.report.numbers import counted, listed, number
from trilineage.report.tree_shape import TreeShape

MAX_PATIENTS_DRAWN = 80
MAX_PATIENTS_LISTED = 500
_PROBABILITY = "probability: "
_SAID = 0.05
"""Probabilities below this are shaded only."""


@dataclass(frozen=True)
class Patient:
    """One row of `patients.csv`."""

    name: str
    """Patient."""
    label: str
    """Node that is known of the patient; empty if none is."""
    decision: str
    """Node decided for."""
    n_samples: str
    """Images behind the decision."""
    probabilities: dict[str, float]
    """Probability of every node; NaN where it is missing."""
    is_right: bool
    """Whether the decision is the label or below it."""

    @classmethod
    def of(cls, row: dict[str, str], shape: TreeShape) -> "Patient":
        """Read one row."""
        probabilities = {
            key.removeprefix(_PROBABILITY): float(value) if value else math.nan
            for key, value in row.items()
            if key.startswith(_PROBABILITY)
        }
        label, decision = row.get("label", ""), row["predicted"]
        is_right = bool(label) and shape.is_right(label, decision)
        return cls(row["patient"], label, decision, row.get("n_samples", ""), probabilities, is_right)


def image_patients_section(run: Run) -> Section | None:
    """Show the patients, if there are decisions for them."""
    if not run.has("patients.csv"):
        return None
    shape = TreeShape.of(run.read_json("nodes.json") if run.has("nodes.json") else [])
    patients = read_patients(run.read_table("patients.csv"), shape)
    if not patients:
        return None
    blocks: list[Block] = []
    if len(patients) <= MAX_PATIENTS_DRAWN and shape.names:
        blocks.append(patient_figure(patients, shape))
    blocks.append(Fold("Every patient", (patient_table(patients),)))
    return Section("patients", "Held-out patients", tuple(blocks))


def read_patients(table: dict[str, list[str]], shape: TreeShape) -> list[Patient]:
    """Return the patients in the order of their labels on the tree, the surest of each label first."""
    patients = [
        Patient.of(dict(zip(table, row, strict=True)), shape) for row in zip(*table.values(), strict=True)
    ]
    place = {name: n for n, name in enumerate(shape.names)}
    return sorted(
        patients,
        key=lambda p: (place.get(p.label, len(place)), p.label, -p.probabilities.get(p.label, 0.0), p.name),
    )


def patient_figure(patients: Sequence[Patient], shape: TreeShape) -> Figure:
    """Draw the probability of every node for every patient, the true path framed, the decision marked."""
    nodes = [name for name in shape.names if name in patients[0].probabilities]

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for row, patient in enumerate(patients):
            path = shape.path(patient.label)
            for column, node in enumerate(nodes):
                _paint_cell(axes, row, column, patient.probabilities[node], is_true=node in path)
            if patient.decision in nodes:
                axes.plot(nodes.index(patient.decision) - 0.4, row, ">", color=INK, markersize=3.2)
        label_cells(axes, tuple(p.name for p in patients), tuple(nodes))
        for row in range(len(patients) - 1):
            if patients[row].label != patients[row + 1].label:
                axes.axhline(row + 0.5, color=INK, linewidth=0.5, alpha=0.5)

    return draw(
        "patients",
        paint,
        title="Every held-out patient",
        description=_in_words(patients),
        caption="Probability of every node for each patient, sorted by label. Framed and blue: the nodes of the label; "
        "orange: given to other nodes. Arrow head: the decision.",
        height_in=1.2 + 0.2 * len(patients),
        width_in=min(WIDTH_IN, 2.4 + 0.62 * len(nodes)),
    )


def _paint_cell(axes: Axes, row: int, column: int, share: float, *, is_true: bool) -> None:
    if not math.isfinite(share):
        return
    paint_share(axes, row, column, share, MODEL if is_true else SECOND)
    if share >= _SAID:
        axes.text(column, row, f"{share:.2f}", ha="center", va="center", size=6.5)
    if is_true:
        frame = Rectangle((column - 0.47, row - 0.44), 0.94, 0.88, fill=False, edgecolor=INK, linewidth=0.7)
        axes.add_patch(frame)


def patient_table(patients: Sequence[Patient]) -> Table:
    """List each patient with label, decision and probabilities; wrong decisions first."""
    ordered = sorted(patients, key=lambda patient: (patient.is_right, not patient.label))[
        :MAX_PATIENTS_LISTED
    ]
    rows = tuple(
        (
            patient.name,
            patient.label or "unknown",
            patient.decision,
            patient.n_samples,
            number(patient.probabilities.get(patient.decision), 2),
            number(patient.probabilities.get(patient.label), 2),
        )
        for patient in ordered
    )
    cut = len(patients) - len(rows)
    more = f" {cut:,} more are in patients.csv." if cut else ""
    return Table(
        f"Held-out patients, wrong decisions first.{more}",
        ("Patient", "Label", "Decision", "Images", "Probability of the decision", "Probability of the label"),
        rows,
        n_text_columns=3,
    )


def _in_words(patients: Sequence[Patient]) -> str:
    known = [patient for patient in patients if patient.label]
    wrong = [f"{p.name}, {p.label}, called {p.decision}" for p in known if not p.is_right]
    said = f" Called wrong: {listed(wrong, 20)}." if wrong else ""
    return f"{len(known) - len(wrong):,} of {counted(len(known), 'patient')} called right.{said}"
