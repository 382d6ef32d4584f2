"""The table of labels and cells that `langcell annotate` and `langcell classify` print."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langcell.inference.naming.label_counts import LabelCounts

# Rows at most; with hundreds of labels the rare ones are of little interest.
MOST_ROWS = 20


def print_label_table(counts: "LabelCounts") -> None:
    """Print how many cells each label got, the most frequent first, and those without a cell where there is room."""
    from rich.console import Console
    from rich.table import Table

    table = Table("label")
    for column in ("cells", "share", "mean confidence"):
        table.add_column(column, justify="right")
    n_cells = sum(counts.cells_of.values())
    for name, cells in list(counts.cells_of.items())[:MOST_ROWS]:
        table.add_row(name, f"{cells:,}", f"{cells / n_cells:.1%}", f"{counts.confidence_of[name]:.2f}")
    without = counts.without_cells
    has_room = len(counts.cells_of) + len(without) <= MOST_ROWS
    for name in without if has_room else ():
        table.add_row(name, "0", "0.0%", "–")
    Console().print(table)
    if (others := len(counts.cells_of) - MOST_ROWS) > 0:
        print(f"and {others} other labels with fewer cells")
    if without and not has_room:
        print(f"and {len(without)} {'label' if len(without) == 1 else 'labels'} without cells")
