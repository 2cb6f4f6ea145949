"""The worst mistakes as pictures: the costliest first, among equals those the model was surest of."""

from typing import Any

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Gallery, Section, Text
from trilineage.report.image_findings import site_name
from trilineage.report.nouns import nouns_of
from trilineage.report.numbers import counted, number
from trilineage.report.pictures import Wanted, pictures_of

MAX_PICTURES = 24


def mistakes_section(run: Run) -> Section | None:
    """Show the images that were called most wrongly."""
    if not run.has("mistakes.json"):
        return None
    rows = run.read_json("mistakes.json")
    if not rows:
        return Section(
            "mistakes", "Worst mistakes", (Text("Every decision on a labelled test image is right."),)
        )
    knows_patients = nouns_of(run).knows_patients
    wanted = [_wanted(row, knows_patients=knows_patients) for row in rows if row.get("picture")]
    pictures = pictures_of(run, wanted, limit=MAX_PICTURES)
    blocks: list[Block] = [
        Text(
            "Wrong decisions of the greatest cost, among equals those the model was surest of. Look for what they "
            "share: a stain, a smudge, a label that is itself in doubt."
        )
    ]
    if pictures:
        first = f"The {len(pictures)} worst" if len(pictures) > 1 else "The worst"
        blocks.append(Gallery(f"{first} of the wrong decisions that the Run kept ({len(rows)}).", pictures))
    else:
        blocks.append(
            Text(f"The Run lists {counted(len(rows), 'mistake')} in mistakes.json and holds no pictures.")
        )
    return Section("mistakes", "Worst mistakes", tuple(blocks))


def _wanted(row: dict[str, Any], *, knows_patients: bool) -> Wanted:
    said = f"probability {number(row['p_decision'], 2)}, of the label {number(row['p_label'], 2)}"
    about = [f"patient {row['patient']}"] if knows_patients else []
    about += [site_name(str(row["site"]))] if row.get("site") else []
    about.append(f"cost {number(row['cost'], 1)}" if row["cost"] != row["height"] else _levels(row["height"]))
    return Wanted(
        row["picture"],
        f"{row['label']} called {row['decision']}, {said}, image {row['sample']}",
        (
            f"{row['label']} called {row['decision']}",
            said,
            "; ".join(about),
            str(row["sample"]).rsplit("/", 1)[-1],
        ),
    )


def _levels(height: float) -> str:
    return "1 level apart" if height == 1 else f"{number(height, 0)} levels apart"
