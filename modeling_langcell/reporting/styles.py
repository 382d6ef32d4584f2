"""Colours, symbols and short names of labels: the same in every figure, on the page and on paper."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

NO_LABELS = ("unknown", "unassigned")
GREY = "#9aa0a6"
# Strong colours first, then their light partners; neighbours in the list differ in hue.
PALETTE = (
    "#1f77b4", "#e6550d", "#2ca02c", "#d62728", "#8c5fbf", "#8c564b", "#e377c2", "#bcbd22", "#17becf", "#3b4cc0",
    "#f2a900", "#006d5b", "#ff9896", "#98df8a", "#c5b0d5", "#c49c94", "#7a0177", "#9edae5", "#5c6b2f", "#aec7e8",
)  # fmt: skip
# Names of plotly, of matplotlib, and of plotly's patterns for bars. Every twenty labels take the next.
_SYMBOLS = (
    ("circle", "o", ""),
    ("diamond", "D", "/"),
    ("square", "s", "x"),
    ("cross", "P", "."),
    ("triangle-up", "^", "\\"),
    ("x", "X", "+"),
    ("star", "*", "-"),
)
_MOST_CHARACTERS = 38


@dataclass(frozen=True)
class Style:
    """How a label looks.

    Attributes:
        colour: "#rrggbb".
        symbol: symbol of points in plotly.
        marker: marker of points in matplotlib.
        pattern: pattern of bars in plotly.
    """

    colour: str
    symbol: str = "circle"
    marker: str = "o"
    pattern: str = ""


def styles_of(labels: Sequence[str], *, grey: Sequence[str] = NO_LABELS) -> dict[str, Style]:
    """Return a look of its own for each of up to 140 labels: 20 colours times 7 symbols; grey for what stands for no
    label.

    >>> styles_of(["B cell", "unassigned"])["B cell"].colour
    '#1f77b4'
    """
    named = [label for label in labels if label not in grey]
    styles = {
        label: Style(PALETTE[i % len(PALETTE)], *_SYMBOLS[i // len(PALETTE) % len(_SYMBOLS)])
        for i, label in enumerate(named)
    }
    return {label: styles.get(label, Style(GREY)) for label in labels}


def shortened(name: str, most: int = _MOST_CHARACTERS) -> str:
    """Return a name for a legend, escaped: long ones lose their middle, where names of cell types differ least."""
    return html.escape(short_name(name, most))


def short_name(name: str, most: int = _MOST_CHARACTERS) -> str:
    """Return the same, not escaped.

    >>> short_name("naive thymus-derived CD4-positive, alpha-beta T cell", 26)
    'naive thymus…a-beta T cell'
    """
    return name if len(name) <= most else f"{name[: most - 14]}…{name[-13:]}"
