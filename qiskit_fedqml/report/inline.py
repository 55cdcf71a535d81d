"""Panels as SVG inside a page: in the page's own font and colours, dark or light, with ids that do not clash."""

import re
from html import escape
from io import StringIO
from typing import Any

import matplotlib as mpl

from qiskit_fedqml.report.drawing import COLOURS, INK, PALE, PALE_INK, PALE_RIM, Panel, lay_out

_FIXED_SCALE = 1.25
"""Pixels for a point of a drawing with a size of its own, whose smallest text has 8 points."""
_OWN_COLOURS = {INK: "currentColor", PALE: "var(--card)", PALE_RIM: "var(--line)", PALE_INK: "var(--soft)"}
"""The page's own colours, by those that are drawn."""


def inline_svg(panel: Panel) -> str:
    """Return a panel as an SVG element as wide as its container, with the panel's title for screen readers."""
    content = StringIO()
    lay_out(panel.figure)
    with mpl.rc_context({"svg.fonttype": "none"}):  # text stays text, in the page's font
        panel.figure.savefig(content, format="svg", dpi=72, transparent=True, metadata={"Date": None})
    svg = content.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = _with_own_ids(svg, panel.name)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would rule the whole page, which has its own
    svg = re.sub(r"font-family: [^;\"]*; |(?<=px) '[^;\"]*", "", svg).replace("font: ", "font-size: ")
    for colour, own in _OWN_COLOURS.items():
        svg = svg.replace(colour, own)
    for colour in COLOURS:
        svg = svg.replace(colour.lower(), series_colour(colour))
    view_box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert view_box is not None
    width, height = view_box.groups()
    scale = _FIXED_SCALE if panel.is_fixed else 1.0
    shown = f'width="{scale * float(width):.0f}" height="{scale * float(height):.0f}"'
    size = f'viewBox="0 0 {width} {height}" {shown}'
    start = f'<svg {size} role="img" aria-label="{escape(panel.title)}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return start + _shorter(svg[svg.index(">") + 1 :])


def series_colour(colour: str) -> str:
    """Return a colour of the palette as the page's style sheet has it, which knows dark from light."""
    return f"var(--series-{COLOURS.index(colour) + 1})"


def placed_marks(panel: Panel) -> list[tuple[float, float, str]]:
    """Return the marks with their places as fractions of width and height, from the upper left."""
    lay_out(panel.figure)
    panel.axis.apply_aspect()  # as drawing it would
    transform: Any = panel.axis.transData + panel.figure.transFigure.inverted()
    placed = [(*transform.transform((mark.x, mark.y)), mark.text) for mark in panel.marks]
    return [(round(float(x), 4), round(1 - float(y), 4), text) for x, y, text in placed]


def _shorter(svg: str) -> str:
    """Return an SVG without what nobody sees: parts of a hundredth of a point, comments, spaces."""
    svg = re.sub(r"(?<![\w#.-])(-?\d+\.\d\d)\d+", r"\1", svg)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    return re.sub(r"\s*\n\s*", "\n", svg)


def _with_own_ids(svg: str, prefix: str) -> str:
    """Put a prefix before each id and each reference to one."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
