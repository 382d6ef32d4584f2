"""`langcell explain`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langcell.cli.options import Cells
from langcell.inference.evidence.options import EvidenceOptions
from langcell.inference.running.options import ReadingOptions
from langcell.loading.options import AdaptedModelOptions

if TYPE_CHECKING:
    from rich.console import Console

    from langcell.inference.evidence.comparison import Comparison
    from langcell.inference.evidence.explain import CellExplanation, Explanation
    from langcell.inference.evidence.label_evidence import GeneEvidence, LabelEvidence

_GENES_IN_A_LINE = 10


def explain(
    cells: Cells,
    evidence: EvidenceOptions,
    model: AdaptedModelOptions,
    reading: ReadingOptions,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="CSV file to write: one row per gene.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Dot plot to write (.png, .pdf, .svg): the first genes of each label.", show_default=False),
    ] = None,
) -> None:
    """Say which genes speak for the labels in INPUT, and which against them.

    INPUT is what annotate wrote, or a file with raw counts and any column of labels (--label-column).
    """
    from rich.console import Console

    from langcell.inference.evidence.dot_plot import check_plot
    from langcell.inference.evidence.explain import Explanation, explain
    from langcell.processing.cells.annotation_values import check_table_place

    if plot is not None:
        check_plot(plot)
        if evidence.cell is not None:
            raise ValueError("--plot draws labels and clusters; leave it out with --cell.")
    if output is not None and (output.suffix != ".csv" or not output.resolve().parent.is_dir()):
        raise ValueError(f"Cannot write {output}; name a .csv file in a folder that exists.")
    if output is not None:
        check_table_place(output, evidence.markers, reading.orthologs)
    found = explain(cells, **vars(evidence), **vars(model), **vars(reading))
    if as_json:
        print(json.dumps(found.record(), indent=2))
    elif isinstance(found, Explanation):
        _print_groups(found, Console())
    else:
        _print_cell(found, Console(), evidence.top)
    if output is not None:
        from langcell.processing.files.atomic_output import atomic_output

        with atomic_output(output) as temporary:
            found.frame().to_csv(temporary, index=False)
        _say(f"Wrote {output}", as_json)
    if plot is not None and isinstance(found, Explanation):
        found.plot(plot)
        _say(f"Wrote {plot}", as_json)


def evidence_of(named: Path, model: AdaptedModelOptions, reading: ReadingOptions) -> "dict[str, Any] | None":
    """Return the evidence of the labels in a file that annotate wrote, for its report; None where there is none."""
    from langcell.inference.evidence.explain import explain

    try:
        return explain(named, **vars(model), **vars(reading)).record()
    except ValueError as error:
        typer.echo(f"The report has no genes of labels: {error}")
        return None


def _say(text: str, as_json: bool) -> None:
    """Print a line, to stderr where stdout is JSON."""
    typer.echo(text, err=as_json)


def _print_groups(found: "Explanation", console: "Console") -> None:
    if found.comparison is not None:
        _print_comparison(found.comparison, console)
        return
    for group in found.groups:
        if len(found.groups) == 1:
            for sentence in group.origin:
                print(sentence)
            _print_genes("supporting", group.supporting, group, console)
            _print_genes("conflicting", group.conflicting, group, console)
        else:
            _print_lines(group, console)
        for note in group.notes:
            print(f"  {note}")


def _print_lines(group: "LabelEvidence", console: "Console") -> None:
    from rich.markup import escape

    console.print(f"[bold]{escape(_title(group))}[/bold]")
    for_it = ", ".join(gene.gene for gene in group.supporting[:_GENES_IN_A_LINE])
    print(f"  for it: {for_it or 'nothing'}")
    if strong := group.strong_conflicts:
        against = ", ".join(f"{gene.gene} ({gene.speaks_for})" for gene in strong[:_GENES_IN_A_LINE])
        console.print(f"  [red]against it: {escape(against)}[/red]")


def _print_genes(kind: str, genes: "tuple[GeneEvidence, ...]", group: "LabelEvidence", console: "Console") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    if not genes:
        print(f"{_title(group)}: no {kind} genes")
        return
    others = {gene.speaks_for for gene in genes}
    one = kind == "conflicting" and len(others) == 1
    speaks = f", all of which speak for {others.pop()}" if one else ""
    title = Text(f"{_title(group)}: {kind} genes{speaks}")
    # 80 columns hold the numbers and most of a profile's name.
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("gene", no_wrap=True)
    for column in ("strength", "effect", "log2 fold", "here", "elsewhere", "rank"):
        table.add_column(column, justify="right", min_width=max(map(len, column.split())))
    if not one:
        table.add_column("profile" if kind == "supporting" else "speaks for", no_wrap=True)
    for gene in genes:
        last = (gene.profiles[0] if gene.profiles else "") if kind == "supporting" else gene.speaks_for
        cells = [] if one else [Text(last)]
        table.add_row(
            Text(gene.gene),
            f"{gene.strength:.2f}",
            _number(gene.effect),
            _number(gene.log2_fold),
            f"{gene.share_in:.0%}",
            "–" if gene.share_out is None else f"{gene.share_out:.0%}",
            _number(gene.rank),
            *cells,
        )
    console.print(table)


def _print_comparison(found: "Comparison", console: "Console") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"What would make {found.group} a {found.against}"), title_justify="left")
    table.add_column("gene")
    table.add_column("what it is")
    for column in ("rank here", "rank there", "cells here", "cells there"):
        table.add_column(column, justify="right")
    for gene in found.genes:
        there = "–" if gene.share_other is None else f"{gene.share_other:.0%}"
        ranks = (f"{gene.rank:.2f}", f"{gene.rank_other:.2f}")
        table.add_row(Text(gene.gene), gene.kind, *ranks, f"{gene.share_in:.0%}", there)
    console.print(table)
    for note in found.notes:
        print(note)


def _print_cell(found: "CellExplanation", console: "Console", top: int) -> None:
    from rich.table import Table
    from rich.text import Text

    title = f"{found.cell}: {found.label} ({found.similarity:.2f}) or {found.against} ({found.similarity_against:.2f})"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("gene")
    for column in ("place", "for the label", "for the other", "margin"):
        table.add_column(column, justify="right")
    for gene in found.frame().head(2 * top).to_dict("records"):
        numbers = (f"{gene[name]:+.3f}" for name in ("drop", "drop_against", "margin"))
        table.add_row(Text(str(gene["gene"])), str(gene["place"]), *numbers)
    console.print(table)
    for note in found.notes:
        print(note)


def _title(group: "LabelEvidence") -> str:
    called = f" ({group.label})" if group.label and group.label != group.group else ""
    return f"{group.group}{called}, {group.cells:,} {'cell' if group.cells == 1 else 'cells'}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
