"""What a folder of shards holds, as tables and bars on a terminal, and the lengths of its cells as a picture."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.shards.counts import ShardCounts
from langcell.processing.shards.manifest import Manifest

_BINS = 16
_MOST_ROWS = 10
_EIGHTHS = " ▏▎▍▌▋▊▉"


def print_report(console: Console, folder: Path, manifest: Manifest, counts: ShardCounts) -> None:
    """Print the manifest, the sources, the most frequent metadata and the lengths of the cells."""
    console.print(_summary(folder, manifest, counts))
    if manifest.sources:
        console.print(_sources(manifest))
    for aspect, names in counts.aspects.items():
        console.print(_aspect(aspect, names))
    console.print("ids a cell")
    for line in length_bars(counts.lengths, width=max(10, min(60, console.width - 30))):
        console.print(line, highlight=False, markup=False)


def _summary(folder: Path, manifest: Manifest, counts: ShardCounts) -> Table:
    tokens = sum(shard.tokens for shard in manifest.shards)
    size = sum((folder / file.path).stat().st_size for file in (*manifest.shards, manifest.descriptions))
    longest = int(counts.lengths[manifest.max_length])
    table = Table(title=str(folder), show_header=False)
    rows = {
        "cells": f"{manifest.total_cells:,}{' (simulated)' if manifest.simulation else ''}",
        "gene ids": f"{tokens:,}",
        "ids a cell": f"mean {tokens / max(1, manifest.total_cells):,.0f}, median {counts.length_at(0.5):,}, "
        f"95 % have at most {counts.length_at(0.95):,}",
        "cut at": f"{manifest.max_length:,} ids, {longest:,} cells have as many",
        "shards": f"{len(manifest.shards):,}, {size / 1e6:,.1f} MB",
        "descriptions": f"{manifest.descriptions.rows:,}",
        "gene vocabulary": manifest.vocabulary_fingerprint,
        "schema version": str(manifest.schema_version),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _sources(manifest: Manifest) -> Table:
    table = Table(title="sources", title_justify="left")
    for name in ("source", "read", "written", "dropped", "counts known", "sha256"):
        table.add_column(name, justify="left" if name in ("source", "dropped", "sha256") else "right")
    for source in manifest.sources:
        dropped = ", ".join(
            f"{cells:,} {reason.replace('_', ' ')}" for reason, cells in source.get("dropped", {}).items()
        )
        known = source.get("known_counts")
        table.add_row(
            str(source.get("name", "")),
            *(f"{source[name]:,}" if name in source else "" for name in ("read", "written")),
            dropped,
            "" if known is None else f"{known:.1%}",
            str(source.get("sha256", ""))[:12],
        )
    return table


def _aspect(aspect: str, names: dict[str, int]) -> Table:
    table = Table(title=f"{aspect}: {len(names):,}", title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    for name, cells in list(names.items())[:_MOST_ROWS]:
        table.add_row(name, f"{cells:,}")
    if len(names) > _MOST_ROWS:
        table.add_row("...", f"{sum(list(names.values())[_MOST_ROWS:]):,}")
    return table


def length_bars(lengths: np.ndarray, *, width: int = 40) -> list[str]:
    """Return a histogram of lengths as lines of bars.

    Args:
        lengths: int, entry n is the number of cells with n ids.
        width: characters of the longest bar.

    >>> for line in length_bars(np.array([0, 1, 4, 2]), width=4):
    ...     print(line)
       1 -    1 █          1
       2 -    2 ████       4
       3 -    3 ██         2
    """
    counts, edges = _binned(lengths)
    lines = []
    for cells, first, last in zip(counts, edges[:-1], edges[1:] - 1, strict=True):
        eighths = round(8 * width * int(cells) / max(1, int(counts.max(initial=0))))
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        lines.append(f"{first:>4} - {last:>4} {bar:<{width}} {cells:>7,}")
    return lines


def _binned(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells in each of at most `_BINS` equal ranges of lengths, and where the ranges begin and the last one ends."""
    found = np.flatnonzero(lengths)
    if not len(found):
        return np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
    first, last = int(found[0]), int(found[-1])
    step = -(-(last - first + 1) // _BINS)
    edges = np.arange(first, last + step + 1, step)
    return np.array([lengths[a:b].sum() for a, b in pairwise(edges)]), edges


def draw_lengths(counts: ShardCounts, output: Path, *, title: str) -> None:
    """Write the histogram of lengths as a PNG file, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    bins = min(64, len(counts.lengths))
    axes.hist(np.arange(len(counts.lengths)), bins=bins, weights=counts.lengths, color="#4477aa")
    median = counts.length_at(0.5)
    axes.axvline(median, color="#222222", linewidth=1, label=f"median {median:,}")
    axes.set(xlabel="ids a cell, <cls> included", ylabel="cells", title=f"{title}: {counts.n_cells:,} cells")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_output(output) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
