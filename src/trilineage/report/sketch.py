"""Small drawings written by hand as SVG: bars, lines, marks and texts, where a page per patient has no time to plot."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from trilineage.report.blocks import Figure
from trilineage.report.drawing import INK

FONT_PX = 11.5
"""Size of letters."""
_SHAPES = {
    "o": '<circle cx="{x}" cy="{y}" r="4.2" fill="{colour}" {edge}/>',
    "s": '<rect x="{left}" y="{top}" width="7.6" height="7.6" fill="{colour}" {edge}/>',
    "D": '<path d="M{x} {above}L{right} {y}L{x} {below}L{far} {y}z" fill="{colour}" {edge}/>',
}
"""Marks by their matplotlib letter: circle, square, diamond."""
_EDGE = 'style="stroke: var(--paper, #fff); stroke-width: 1"'
"""Keeps a mark apart from the bar behind it."""


@dataclass(frozen=True)
class Scale:
    """Numbers to pixels along one direction."""

    low: float
    """Number at the first pixel."""
    high: float
    """Number at the last pixel."""
    start: float
    """First pixel."""
    end: float
    """Last pixel."""

    def __call__(self, value: float) -> float:
        """Return the pixel of a number."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, n: int = 5) -> list[float]:
        """Return round numbers inside, about as many as asked for.

        Examples
        --------
        >>> Scale(-0.13, 0.31, 0, 100).ticks()
        [-0.1, 0.0, 0.1, 0.2, 0.3]
        """
        step = _round_step((self.high - self.low) / n)
        first = int(-(-self.low // step))
        last = int(self.high // step)
        return [round(number * step, 10) + 0.0 for number in range(first, last + 1)]


@dataclass
class Sketch:
    """A drawing that grows; y runs downwards, all in pixels."""

    width: float
    """Pixels."""
    height: float
    """Pixels."""
    parts: list[str] = field(default_factory=list)
    """Elements so far."""

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: str = "start",
        is_bold: bool = False,
        px: float = FONT_PX,
    ) -> None:
        """Write words with their middle at the height y; `anchor` is start, middle or end."""
        weight = ' font-weight="600"' if is_bold else ""
        self.parts.append(
            f'<text x="{_px(x)}" y="{_px(y + 0.35 * px)}" text-anchor="{anchor}" font-size="{_px(px)}"{weight}>'
            f"{escape(words)}</text>"
        )

    def bar(self, box: tuple[float, float, float, float], colour: str = INK, *, opacity: float = 1.0) -> None:
        """Fill a box (left, top, right, bottom), whichever of its sides comes first."""
        left, right = sorted((box[0], box[2]))
        top, bottom = sorted((box[1], box[3]))
        self.parts.append(
            f'<rect x="{_px(left)}" y="{_px(top)}" width="{_px(right - left)}" height="{_px(bottom - top)}" '
            f'fill="{_ink(colour)}" fill-opacity="{opacity:g}"/>'
        )

    def line(
        self,
        points: Sequence[tuple[float, float]],
        colour: str = INK,
        *,
        px: float = 1.0,
        opacity: float = 1.0,
    ) -> None:
        """Draw a line through points."""
        way = "L".join(f"{_px(x)} {_px(y)}" for x, y in points)
        self.parts.append(
            f'<path d="M{way}" fill="none" stroke="{_ink(colour)}" stroke-width="{px:g}" stroke-opacity="{opacity:g}"/>'
        )

    def mark(self, x: float, y: float, shape: str, colour: str) -> None:
        """Draw a circle (o), a square (s) or a diamond (D)."""
        places = {"x": x, "y": y, "left": x - 3.8, "top": y - 3.8, "above": y - 5.2, "below": y + 5.2}
        places |= {"right": x + 5.2, "far": x - 5.2}
        numbers = {name: _px(value) for name, value in places.items()}
        self.parts.append(_SHAPES[shape].format(**numbers, colour=_ink(colour), edge=_EDGE))

    def axis(self, scale: Scale, top: float, bottom: float, ticks: Sequence[float], label: str = "") -> None:
        """Draw grid lines from top to bottom with their numbers below, and a label under these."""
        for tick in ticks:
            self.line([(scale(tick), top), (scale(tick), bottom)], opacity=0.14)
            self.text(scale(tick), bottom + 10, f"{tick:g}", anchor="middle", px=10.5)
        self.line([(scale.start, bottom), (scale.end, bottom)], opacity=0.6)
        if label:
            self.text((scale.start + scale.end) / 2, bottom + 26, label, anchor="middle", px=10.5)

    def figure(
        self, name: str, *, title: str, description: str, caption: str, sources: tuple[str, ...] = ()
    ) -> Figure:
        """Return the drawing as a block of a page."""
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_px(self.width)} {_px(self.height)}" '
            f'width="{_px(self.width)}" height="{_px(self.height)}" role="img" '
            f'aria-labelledby="{name}-title {name}-desc" fill="currentColor" '
            "font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n"
            f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>\n'
        )
        return Figure(name, title, description, caption, svg + "\n".join(self.parts) + "\n</svg>", sources)


def _px(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _ink(colour: str) -> str:
    return "currentColor" if colour == INK else colour


def _round_step(step: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** _floor_log10(step)
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def _floor_log10(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])
