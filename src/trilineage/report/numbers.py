"""How numbers, intervals and names of metrics are written, on the page and on the terminal."""

import math
from datetime import UTC, datetime

from trilineage.core.records import Comparison, Score
from trilineage.report.metrics import described

UNDEFINED = "–"
MINUS = "\N{MINUS SIGN}"


def metric_name(metric: str) -> str:
    """Return a metric as it stands in a sentence.

    Examples
    --------
    >>> metric_name("balanced_accuracy"), metric_name("recall@10")
    ('balanced accuracy', 'recall@10')
    """
    return described(metric).name


def metric_heading(metric: str) -> str:
    """Return a metric as a heading, with an arrow where lower is better."""
    name = metric_name(metric)
    arrow = "\N{NO-BREAK SPACE}↓" if described(metric).is_lower_better else ""
    return capital(name) + arrow


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of decimals; a dash where there is none.

    Examples
    --------
    >>> number(0.93456), number(-0.5, 2), number(float("nan"))
    ('0.935', '−0.50', '–')
    """
    if value is None or not math.isfinite(value):
        return UNDEFINED
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """Return a difference with its sign."""
    text = number(value, digits)
    return text if text == UNDEFINED or text.startswith(MINUS) or float(text) == 0 else f"+{text}"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return the two ends of an interval; nothing where it cannot be computed.

    Examples
    --------
    >>> interval(0.851, 0.98, 2), interval(-0.03, 0.06, 2), interval(None, None)
    ('0.85–0.98', '−0.03 to 0.06', '')
    """
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    ends = (number(low, digits), number(high, digits))
    return " to ".join(ends) if MINUS in ends[0] + ends[1] else "–".join(ends)


def scored(score: Score | None, digits: int = 3) -> str:
    """Return a score with its interval in brackets."""
    if score is None:
        return UNDEFINED
    ends = interval(score.low, score.high, digits)
    return f"{number(score.value, digits)} ({ends})" if ends else number(score.value, digits)


def compared(comparison: Comparison, digits: int = 3) -> str:
    """Return a difference with its interval in brackets."""
    ends = interval(comparison.low, comparison.high, digits)
    difference = signed(comparison.difference, digits)
    return f"{difference} ({ends})" if ends else difference


def probability(value: float | None) -> str:
    """Return a p-value: three decimals, or that it is smaller."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    return "< 0.001" if value < 0.001 else number(value, 3)


def percent(level: float) -> str:
    """Return a share as per cent, as in `95 %`."""
    return f"{100 * level:.6g} %"


def counted(n: int, noun: str) -> str:
    """Return a count with its noun in the right number.

    Examples
    --------
    >>> counted(1, "patient"), counted(199000, "sample"), counted(2, "class")
    ('1 patient', '199,000 samples', '2 classes')
    """
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"


def listed(names: list[str], limit: int = 8) -> str:
    """Return names as a list in a sentence, cut after `limit`."""
    shown = names[:limit]
    rest = len(names) - len(shown)
    if rest:
        return f"{', '.join(shown)} and {rest} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "none"


def sentence(text: str) -> str:
    """Give a clause a capital letter and a full stop.

    Examples
    --------
    >>> sentence("no patients are known"), sentence("")
    ('No patients are known.', '')
    """
    stripped = text.strip()
    if not stripped:
        return stripped
    return capital(stripped) + ("" if stripped[-1] in ".!?" else ".")


def capital(text: str) -> str:
    """Begin with a capital letter and leave the rest as it is.

    Examples
    --------
    >>> capital("site B"), capital("")
    ('Site B', '')
    """
    return text[:1].upper() + text[1:]


def moment(written: object) -> str:
    """Return a time as written in a Run in the form people read; what is no time stays as it is.

    Examples
    --------
    >>> moment("2026-03-01T08:05:59+00:00")
    '2026-03-01 08:05 UTC'
    """
    try:
        return datetime.fromisoformat(str(written)).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return str(written or "unknown")
