"""What `langcell annotate` may replace, and what to look at when the names are there."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from langcell.inference.annotation import AnnotationSummary

# A label below it is worth a look.
_UNSURE = 0.6


def check_named_output(output: Path) -> None:
    """Refuse to replace a file that the user did not name and `annotate` did not write.

    Raises:
        ValueError: such a file stands there.
    """
    from langcell.processing.cells.embedding_store import read_settings

    if output.exists() and not read_settings(output):
        raise ValueError(f"{output} exists, and annotate did not write it; name an output (--output).")


def what_to_look_at(
    summary: "AnnotationSummary", output: Path, report: Path | None, *, clusters_csv: Path | None = None
) -> list[str]:
    """Return three lines: the largest label to doubt, cells or clusters that stand out, and where to see them.

    Args:
        summary: summary of the run.
        output: file that was written.
        report: page that was written, if one was.
        clusters_csv: table of clusters that was written, if one was.
    """
    unsure = {name: value for name, value in summary.confidence_of.items() if value < _UNSURE}
    if unsure:
        doubt = max(unsure, key=lambda name: (summary.cells_of[name], name))
        first = f"least sure: {summary.cells_of[doubt]:,} cells called {doubt}, mean confidence {unsure[doubt]:.2f}"
    else:
        first = f"every label has a mean confidence of {_UNSURE} or more"
    if "clusters" in summary.uns:
        second = _clusters(summary.uns["clusters"], output, report or clusters_csv)
    else:
        second = _cells(summary)
    see = f"open {report}" if report is not None else f"langcell report {output} -o report.html draws maps and tables"
    return [f"Look at: 1. {first}", f"         2. {second}", f"         3. {see}"]


def _clusters(table: "Mapping[str, Sequence[Any]]", output: Path, listed: Path | None) -> str:
    """Say which clusters stand out, where all of them are listed, and how one is explained."""
    unknown = [str(name) for name, is_so in zip(table["cluster"], table["unknown"], strict=True) if is_so]
    mixed = [str(name) for name, is_so in zip(table["cluster"], table["mixed"], strict=True) if is_so]
    mixed = [name for name in mixed if name not in unknown]
    found = [
        *_group(unknown, one="fits no label", several="fit no label"),
        *_group(mixed, one="is mixed", several="are mixed"),
    ]
    shown = (unknown or mixed or [str(table["cluster"][0])])[0]
    where = f" (all {len(table['cluster'])} stand in {listed})" if listed is not None else ""
    return f"{', '.join(found) or 'no cluster is mixed'}{where}; why: langcell explain {output} --cluster {shown}"


def _group(names: list[str], *, one: str, several: str) -> list[str]:
    if not names:
        return []
    return [f"cluster {names[0]} {one}" if len(names) == 1 else f"clusters {', '.join(names)} {several}"]


def _cells(summary: "AnnotationSummary") -> str:
    uns = summary.uns
    if "unknown_above_novelty" in uns or "unknown_below" in uns:
        return f"{summary.cells_of.get('unknown', 0):,} cells are called unknown; --tissue proposes types for them"
    fit_none = uns.get("cells_that_fit_no_label", 0)
    if fit_none:
        return f"{fit_none:,} cells fit none of these labels (langcell_novelty); --unknown auto calls them unknown"
    return "--cluster, or --cluster-column with clusters of yours, gives each cluster one name"
