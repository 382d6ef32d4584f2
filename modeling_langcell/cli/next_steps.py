"""What `langcell annotate` may replace, and what to look at when the names are there."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langcell.inference.annotation import AnnotationSummary

# A label below it is worth a look.
_UNSURE = 0.6


def check_named_output(output: Path) -> None:
    """Refuse to replace a file that the user did not name and `annotate` did not write.

    Raises:
        ValueError: such a file stands there.
    """
    from langcell.inference.evidence.settings import read_settings

    if output.exists() and not read_settings(output):
        raise ValueError(f"{output} exists, and annotate did not write it; name an output (--output).")


def what_to_look_at(summary: "AnnotationSummary", output: Path, report: Path | None) -> list[str]:
    """Return three lines: the largest label to doubt, cells or clusters that stand out, and where to see them.

    Args:
        summary: summary of the run.
        output: file that was written.
        report: page that was written, if one was.
    """
    unsure = {name: value for name, value in summary.confidence_of.items() if value < _UNSURE}
    if unsure:
        doubt = max(unsure, key=lambda name: (summary.cells_of[name], name))
        first = f"least sure: {summary.cells_of[doubt]:,} cells called {doubt}, mean confidence {unsure[doubt]:.2f}"
    else:
        first = f"every label has a mean confidence of {_UNSURE} or more"
    see = f"open {report}" if report is not None else f"langcell report {output} -o report.html draws maps and tables"
    return [f"Look at: 1. {first}", f"         2. {_stands_out(summary)}", f"         3. {see}"]


def _stands_out(summary: "AnnotationSummary") -> str:
    uns = summary.uns
    if "clusters" in uns:
        table = uns["clusters"]
        flagged = [
            str(name)
            for name, mixed, unknown in zip(table["cluster"], table["mixed"], table["unknown"], strict=True)
            if mixed or unknown
        ]
        found = f"clusters {', '.join(flagged)} are mixed or fit no label" if flagged else "no cluster is mixed"
        if len(flagged) == 1:
            found = f"cluster {flagged[0]} is mixed or fits no label"
        return f"{found}; all {len(table['cluster'])} stand in the report, and in the table that --csv writes"
    if "unknown_above_novelty" in uns or "unknown_below" in uns:
        return f"{summary.cells_of.get('unknown', 0):,} cells are called unknown; langcell_confidence says how sure"
    fit_none = uns.get("cells_that_fit_no_label", 0)
    if fit_none:
        return f"{fit_none:,} cells fit none of these labels (langcell_novelty); --unknown auto calls them unknown"
    return "--cluster, or --cluster-column with clusters of yours, gives each cluster one name"
