"""One style for every figure, and figures as SVG text that is the same bytes each time."""

import io
import re
import warnings
from collections.abc import Callable
from xml.sax.saxutils import escape

import matplotlib
from cycler import cycler
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from trilineage.report.blocks import Figure

INK = "#010203"
"""Stands for the colour of text in the page (`currentColor`), so that figures follow light and dark."""
MODEL = "#2383c2"
SECOND = "#d55e00"
THIRD = "#009e73"
MUTED = "#80868f"
CYCLE = (MODEL, SECOND, THIRD, "#cc79a7", "#b88600", "#6a5acd", MUTED)
"""Colours told apart with every kind of colour blindness (after Okabe and Ito), readable on white and on black."""

WIDTH_IN = 8.4
"""Width of a figure in inches; the page shrinks it where there is less room."""

_STYLE = {
    "svg.hashsalt": "trilineage",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.25,
    "axes.prop_cycle": cycler(color=CYCLE),
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color", "grid.color", "legend.labelcolor"), INK),
}


def draw(
    name: str,
    paint: Callable[[Canvas], None],
    *,
    title: str,
    description: str,
    caption: str,
    height_in: float,
    width_in: float = WIDTH_IN,
) -> Figure:
    """Paint a figure in the style of the page and return it as a block.

    Parameters
    ----------
    name
        File name without suffix; also the prefix of every id inside, so that many figures share a page.
    paint
        Draws onto an empty matplotlib figure.
    description
        Text for readers who cannot see the figure.
    """
    stream = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # whatever the reader's own matplotlibrc says
        matplotlib.rcParams.update(_STYLE)
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's font draws it
        canvas = Canvas(figsize=(width_in, height_in), layout="constrained")
        paint(canvas)
        FigureCanvasSVG(canvas).print_svg(stream, metadata={"Date": None, "Creator": None})
    svg = numbered_clips(stream.getvalue())
    return Figure(name, title, description, caption, _embeddable(svg, name, title, description))


def standalone(figure: Figure) -> str:
    """Return a figure as the text of an SVG file."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{figure.svg}\n'


def numbered_clips(svg: str) -> str:
    """Name the clip paths in the order in which they are first used.

    Matplotlib names them after the last bits of the layout, in which its solver differs from one drawing to the next.

    Examples
    --------
    >>> numbered_clips('<g clip-path="url(#pa0b1c2d3e4)"/><clipPath id="pa0b1c2d3e4"/>')
    '<g clip-path="url(#clip0)"/><clipPath id="clip0"/>'
    """
    names = dict.fromkeys(re.findall(r"url\(#(p[0-9a-f]{10})\)", svg))
    number = {name: f"clip{place}" for place, name in enumerate(names)}
    return re.sub(
        r"(?<=#)p[0-9a-f]{10}|(?<=id=\")p[0-9a-f]{10}", lambda found: number.get(found[0], found[0]), svg
    )


def _embeddable(svg: str, name: str, title: str, description: str) -> str:
    """Cut the file header, make ids unique, name the figure for screen readers and let the page set its ink."""
    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = body.replace(INK, "currentColor").replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans', sans-serif")
    head, rest = body.split(">", 1)
    labels = (
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )
    return f'{head} role="img" aria-labelledby="{name}-title {name}-desc">\n{labels}{rest}'
