"""`langcell audit`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langcell.cli.options import Cells
from langcell.inference.auditing.options import AuditOptions
from langcell.inference.running.options import ReadingOptions
from langcell.loading.options import AdaptedModelOptions

if TYPE_CHECKING:
    from langcell.inference.auditing.audit import Audit

# Exit code where something has to be corrected and --strict asks for it.
SOMETHING_IS_WRONG = 3
# Others that a row of the table names; the CSV, JSON and HTML files name all.
_MOST_OTHERS = 3
_COLOURS = {"wrong": "red", "mixed": "red", "unsure": "yellow", "fine": "green"}


def audit(
    cells: Cells,
    asked: AuditOptions,
    model: AdaptedModelOptions,
    reading: ReadingOptions,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder to write audit.csv, .json and .html into.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with code 3 where a label has something to correct.")
    ] = False,
    annotated: Annotated[
        Path | None,
        typer.Option(help="h5ad or zarr file to write: INPUT with the findings in obs; not INPUT.", show_default=False),
    ] = None,
) -> None:
    """Look at labels that INPUT has: does LangCell agree, do groups hold two types, do words and ids fit?

    INPUT is not changed.
    """
    from langcell.inference.auditing.audit import audit as look_at
    from langcell.inference.auditing.columns import check_annotated, write_annotated_copy
    from langcell.reporting.audit_page import check_audit_folder, write_audit

    if output is not None:
        check_audit_folder(output)
    if annotated is not None:
        check_annotated(cells, annotated)
    found = look_at(cells, **vars(asked), **vars(model), **vars(reading))
    if as_json:
        print(json.dumps(found.record(), indent=2))
    else:
        _print(found)
    if output is not None:
        for path in write_audit(found, output, data_name=cells.name):
            typer.echo(f"Wrote {path}", err=as_json)
    if annotated is not None:
        write_annotated_copy(cells, annotated, found, reading)
        typer.echo(f"Wrote {annotated}", err=as_json)
    if strict and found.n_wrong:
        raise typer.Exit(SOMETHING_IS_WRONG)


def _print(found: "Audit") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("label")
    table.add_column("cells", justify="right")
    for column in ("finding", "LangCell calls them"):
        table.add_column(column)
    for group in found.groups:
        called = _called(group.verdict)
        row: list[Any] = [
            Text(group.label),
            f"{group.cells:,}",
            Text(group.status, _COLOURS[group.status]),
            Text(called),
        ]
        table.add_row(*row)
    Console().print(table)
    for group in found.groups:
        for line in _lines(group):
            print(f"{group.label}: {line}")
    print(f"{found.n_wrong} of {len(found.groups)} labels have something to correct")


def _called(verdict: Any) -> str:
    if verdict is None:
        return "names no type"
    others = "".join(f", {other.name} {other.share:.0%}" for other in verdict.others[:_MOST_OTHERS])
    more = f" and {n} more" if (n := len(verdict.others) - _MOST_OTHERS) > 0 else ""
    return f"{verdict.called} {verdict.called_share:.0%}{others}{more}"


def _lines(group: Any) -> list[str]:
    """Return what there is to say of a group besides the table: words, genes against it, clusters."""
    lines = [word.text for word in group.words if word.kind not in ("synonym",)]
    if strong := group.evidence.strong_conflicts:
        lines.append("genes against it: " + ", ".join(f"{gene.gene} ({gene.speaks_for})" for gene in strong[:5]))
    lines += [f"cluster {c['cluster']} is called {c['called']} ({c['share']:.0%})" for c in group.clusters]
    return lines
