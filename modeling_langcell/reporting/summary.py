"""What `annotate` has found, short enough for the cell of a notebook: `langcell.summary`."""

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from langcell.reporting.drawn_cells import by_frequency
from langcell.reporting.methods import confidence_sentence, novelty_sentence

if TYPE_CHECKING:
    from anndata import AnnData

_MOST_ROWS = 20
_HEADINGS = ("cell type", "cells", "share", "confidence")


@dataclass(frozen=True)
class Summary:
    """Named cells in a few lines; a notebook shows it as a table, everything else as text.

    Attributes:
        table: a row for each label that a cell has, the most frequent first: cells, share, confidence (mean).
        lines: what there is to know beside it.
        clusters: a row for each cluster, where clusters were named.
    """

    table: pd.DataFrame
    lines: list[str]
    clusters: pd.DataFrame | None = None

    def __str__(self) -> str:
        rows = [_HEADINGS, *_as_text(self.table)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(text.rjust(w) for text, w in zip(row[1:], widths[1:], strict=True))])
            for row in rows
        ]
        return "\n".join([*lines, *_others(self.table), *self.lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        name, number = '<td style="text-align:left">{}</td>', '<td style="text-align:right">{}</td>'
        rows = "".join(
            f"<tr>{name.format(html.escape(first))}{''.join(map(number.format, rest))}</tr>"
            for first, *rest in _as_text(self.table)
        )
        heads = "".join(f'<th scope="col" style="text-align:left">{text}</th>' for text in _HEADINGS)
        notes = "".join(f"<p>{html.escape(line)}</p>" for line in [*_others(self.table), *self.lines])
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{notes}"


def summary(adata: "AnnData") -> Summary:
    """Say what `langcell.annotate` has found: cells of each type, what was refined, what fits no label.

    Args:
        adata: cells that `annotate` has named.

    Raises:
        ValueError: its cells are not named.
    """
    missing = [name for name in ("langcell_label", "langcell_confidence") if name not in adata.obs]
    if missing or "langcell" not in adata.uns:
        what = missing[0] if missing else 'uns["langcell"]'
        raise ValueError(f"The AnnData has no {what}; name its cells first: langcell.annotate(adata, labels).")
    settings, n_cells = adata.uns["langcell"], adata.n_obs
    obs: Any = adata.obs
    named = obs[["langcell_label", "langcell_confidence"]].dropna(subset="langcell_label")
    labels = np.asarray(named["langcell_label"].astype(str))
    groups = pd.DataFrame({"label": labels, "confidence": named["langcell_confidence"].to_numpy()}).groupby("label")
    table = groups["confidence"].agg(["size", "mean"]).loc[by_frequency(labels)]
    table = table.rename(columns={"size": "cells", "mean": "confidence"})
    table.insert(1, "share", table["cells"] / n_cells)
    clusters = pd.DataFrame(settings["clusters"]) if "clusters" in settings else None
    lines = [f"{n_cells - len(named):,} cells have no name."] if len(named) < n_cells else []
    return Summary(table, lines + _lines(settings, n_cells, clusters), clusters)


def _lines(settings: dict[str, Any], n_cells: int, clusters: pd.DataFrame | None) -> list[str]:
    lines = []
    if "gene_coverage" in settings:
        genes, counts = settings["gene_coverage"], settings["count_coverage"]
        lines.append(f"The model knows {genes:.0%} of the genes, which hold {counts:.0%} of the counts.")
    if settings.get("refined"):
        lines.append(f"The other cells of the file changed the names of {int(settings['refined_cells']):,} cells.")
    if said := novelty_sentence(settings, n_cells):
        lines.append(said)
    if clusters is not None:
        mixed = int(clusters["mixed"].sum())
        lines.append(f"{len(clusters)} clusters were named; {mixed} of them {'is' if mixed == 1 else 'are'} mixed.")
    return [*lines, confidence_sentence(settings)]


def _as_text(table: pd.DataFrame) -> list[tuple[str, ...]]:
    return [
        (str(name), f"{int(cells):,}", f"{share:.1%}", f"{confidence:.2f}")
        for name, cells, share, confidence in table[["cells", "share", "confidence"]].head(_MOST_ROWS).itertuples()
    ]


def _others(table: pd.DataFrame) -> list[str]:
    others = len(table) - _MOST_ROWS
    return [f"and {others} other types with fewer cells"] if others > 0 else []
