"""The page's tables and its status as HTML that a screen reader reads and a narrow window does not cut off."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from langcell.app.messages import Genes, NamedFile
from langcell.app.wording import in_page_words
from langcell.one_line import one_line
from langcell.reporting.styles import Style

_SHAPES = {"circle": "●", "diamond": "◆", "square": "■", "cross": "✚", "triangle-up": "▲", "x": "✖", "star": "★"}


def label_table(named: NamedFile) -> str:
    """Return how many cells have which label."""
    styles = named.styles
    rows = [
        [
            _swatch(styles[label]) + _why(label, named.genes.get(label)),
            f"{cells:,}",
            f"{share:.1%}",
            f"{confidence:.2f}",
        ]
        for label, cells, share, confidence in named.table
    ]
    title = "Cell types in this file" + (": open one to see its genes" if named.genes else "")
    return _table(title, ["cell type", "cells", "share", "confidence"], rows)


def _why(label: str, genes: Genes | None, *, marks: str = "") -> str:
    """Return a label that opens, by click or key, what speaks for it and against it; `marks` stand behind the label."""
    if genes is None:
        return _text(label) + marks
    lines = [f"Genes that speak for it: {', '.join(genes.supporting)}."] if genes.supporting else []
    if genes.conflicting:
        against = ", ".join(f"{gene} ({other})" if other else gene for gene, other in genes.conflicting)
        lines.append(f"Against it: {against}.")
    return f'<details class="why"><summary>{_text(label)}{marks}</summary>{_lines(lines)}</details>'


def cluster_table(rows: Sequence[Mapping[str, Any]], column: str, genes: Mapping[str, Genes] | None = None) -> str:
    """Return a table with one name for each cluster, which opens its genes; empty without clusters.

    Args:
        rows: rows of the table of clusters.
        column: that the clusters are from.
        genes: by cluster; None where nothing is known of them.
    """
    genes = genes or {}
    if not rows:
        return ""
    cells = [
        [
            _text(row["cluster"]),
            _why(row["label"] or "none", genes.get(str(row["cluster"])), marks=_marks(row)),
            f"{int(row['cells']):,}",
            f"{row['share']:.0%}",
        ]
        for row in sorted(rows, key=lambda row: (len(str(row["cluster"])), str(row["cluster"])))
    ]
    title = f"Clusters (column {column})" + (": open a name to see why" if genes else "")
    return _table(title, ["cluster", "name", "cells", "agree"], cells, texts=2)


def found_table(best: Sequence[tuple[str, str, float, float]]) -> str:
    """Return the cells that fit a sentence best; empty without a search."""
    if not best:
        return ""
    rows = [[_text(cell), _text(label), f"{similarity:.3f}"] for cell, label, _, similarity in best]
    return _table("Cells that fit the sentence best", ["cell", "cell type", "score"], rows, texts=2)


def status_of(headline: str, named: NamedFile) -> str:
    """Return what there is to know of a run, the important first, and the rest to be opened."""
    warning = f'<p class="warning">{_text(named.warning)}</p>' if named.warning else ""
    details = f"<details><summary>Details</summary>{_lines(named.details)}</details>" if named.details else ""
    lines = f"<p><b>{_text(headline)}</b></p>{warning}{_lines(named.notes)}{details}"
    return f'<div class="status" role="status">{lines}</div>'


def error_line(error: Exception) -> str:
    """Return an error as the page shows it: one line, in the words of the page."""
    return f'<div class="status error" role="alert">{_text(in_page_words(one_line(error)))}</div>'


def _marks(row: Mapping[str, Any]) -> str:
    marks = [mark for mark in ("mixed", "unknown") if row.get(mark)]
    return "".join(f' <span class="mark">{mark}</span>' for mark in marks)


def _swatch(style: Style) -> str:
    return f'<span aria-hidden="true" style="color:{style.colour}">{_SHAPES[style.symbol]}</span> '


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """Return a table; the first `texts` columns hold words, the others numbers."""
    kinds = ["" if i < texts else ' class="number"' for i in range(len(headings))]
    head = "".join(f'<th scope="col"{kind}>{text}</th>' for text, kind in zip(headings, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{_text(title)}"><table><caption>{_text(title)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"<p>{_text(line)}</p>" for line in lines)


def _text(text: object) -> str:
    return escape(str(text), quote=True)
