"""`langcell annotate`, `langcell embed` and `langcell report`."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langcell.cli.early_checks import check_cells, check_files, check_words
from langcell.cli.options import Cells, NamedOutput, Output, SampleColumn, is_alone
from langcell.inference.naming.options import LabelOptions, NamingOptions
from langcell.inference.running.options import ReadingOptions, WritingOptions
from langcell.loading.options import AdaptedModelOptions

if TYPE_CHECKING:
    from langcell.inference.annotation import AnnotationSummary
    from langcell.processing.labels.resolve import Label


def annotate(
    cells: Cells,
    labels: LabelOptions,
    model: AdaptedModelOptions,
    naming: NamingOptions,
    reading: ReadingOptions,
    writing: WritingOptions,
    report: Annotated[
        Path | None,
        typer.Option(help="HTML page to write on the named cells, too (extra [app]).", show_default=False),
    ] = None,
    sample_column: SampleColumn = None,
    output: NamedOutput = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="CSV file of the names to write, too, for Loupe Browser and Seurat; with clusters, also "
            "NAME_clusters.csv in the same folder.",
            show_default=False,
        ),
    ] = None,
    known_file: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with labels that some cells are known to have, as Loupe Browser exports it: cell names in "
            "the first column, labels in the second. In place of --known-column.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Name the cells of INPUT by labels in words, and write them to OUTPUT.

    Without labels, the candidates are the types of --tissue that the model was trained on, or all of its types.

    A run that was killed goes on where it stopped when it is started again with the same arguments. Under torchrun or
    accelerate launch, the processes share the cells.
    """
    from langcell.cli.next_steps import check_named_output, what_to_look_at
    from langcell.inference.naming.outputs import named_output

    if sample_column is not None and report is None:
        raise ValueError("--sample-column is for the report; give --report report.html, too.")
    if known_file is not None:
        from langcell.inference.naming.known_file import read_known

        naming = replace(naming, known=read_known(known_file))
    if is_alone():
        target = named_output(cells) if output is None else output
        read = (labels.labels_file, known_file)
        check_files(cells, target, *read, naming=naming, csv=csv, report=report)
        check_words(labels, model.model, adapter=model.adapter)
        check_cells(cells, reading, naming, sample_column=sample_column)

    from langcell.cli.review.explain import evidence_of
    from langcell.inference.annotation import run_annotation
    from langcell.inference.naming.candidates import chosen
    from langcell.inference.naming.csv_tables import tables_at
    from langcell.inference.naming.fine_tuned_labels import config_of
    from langcell.inference.running.job import InferenceJob
    from langcell.inference.running.processes import Processes
    from langcell.processing.cells.annotation_values import refuse_same_file
    from langcell.reporting.page import check_report, write_report

    if output is None:
        output = named_output(cells)
        check_named_output(output)
    with Processes.launched() as processes:
        with processes.together():
            if report is not None:
                check_report(report, cells, sample_column)
            job = InferenceJob.of(cells, output, model, reading, processes, writing)
            job.check()
            if csv is not None:
                for read in (labels.labels_file, known_file):
                    refuse_same_file(read, csv)
            found = chosen(labels, partial(config_of, model.model, model.adapter))
        for note in found.notes_to_tell(has_known=naming.has_known) if processes.is_main else ():
            print(note)
        summary = run_annotation(job, found, naming, csv=csv)
    if summary is not None:
        _print_summary(summary)
        tables = [] if csv is None else tables_at(csv, summary.uns)
        written = [output, *tables]
        print(f"Wrote {', '.join(map(str, written))}")
        if report is not None:
            command = ["langcell", *sys.argv[1:]]
            named = {"sample_column": sample_column, "command": command, "data_name": cells.name}
            write_report(output, report, **named, evidence=evidence_of(output, model, reading))
            print(f"Wrote {report}")
        for line in what_to_look_at(summary, output, report, clusters_csv=tables[1] if len(tables) > 1 else None):
            print(line)


def report(
    named: Annotated[
        Path, typer.Argument(metavar="NAMED", help="h5ad file or zarr folder that annotate wrote.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")] = Path("report.html"),
    sample_column: SampleColumn = None,
    max_drawn: Annotated[
        int, typer.Option(min=1, help="Largest number of cells in the map; more are drawn at random.")
    ] = 100_000,
    seed: Annotated[int, typer.Option(help="Random seed of the map layout.")] = 0,
    evidence: Annotated[
        Path | None,
        typer.Option(help="JSON file that langcell explain --json printed: genes of each label.", show_default=False),
    ] = None,
) -> None:
    """Show the named cells of NAMED on one HTML page: maps, samples, confidence, coverage, settings (extra [app]).

    The page needs no network. It is the page of annotate --report, for a file that was written before.
    """
    from langcell.reporting.evidence import read_evidence
    from langcell.reporting.page import write_report

    found = None if evidence is None else read_evidence(evidence)
    write_report(named, output, sample_column=sample_column, most_drawn=max_drawn, seed=seed, evidence=found)
    print(f"Wrote {output}")


def embed(
    cells: Cells,
    output: Output,
    model: AdaptedModelOptions,
    reading: ReadingOptions,
    writing: WritingOptions,
    hidden: Annotated[
        bool, typer.Option(help="Also write the cell encoder's last hidden state, X_langcell_hidden.")
    ] = False,
) -> None:
    """Add cell embeddings (obsm X_langcell, unit length) to the cells of INPUT.

    As annotate, a killed run goes on where it stopped, and the processes of a launcher share the cells.
    """
    from langcell.inference.annotation import run_embedding
    from langcell.inference.running.job import InferenceJob
    from langcell.inference.running.processes import Processes

    with Processes.launched() as processes:
        run_embedding(InferenceJob.of(cells, output, model, reading, processes, writing), hidden=hidden)
    if processes.is_main:
        print(f"Wrote {output}")


def candidate_labels(options: LabelOptions, model: Any, adapter: str | Path | None = None) -> "list[Label]":
    """Return the candidate labels from one of the three options, or the model's own where none is given."""
    from langcell.inference.naming.candidates import chosen
    from langcell.inference.naming.fine_tuned_labels import config_of

    return chosen(options, partial(config_of, model, adapter)).labels


def _print_summary(summary: "AnnotationSummary") -> None:
    """Print one line on the work, and a table of the labels."""
    from langcell.cli.label_table import print_label_table

    uns = summary.uns
    print(f"{_rerank_in_words(summary)}, {uns['dtype']}, {uns['reference_cells'] or 'no'} reference cells")
    print_label_table(summary)


def _rerank_in_words(summary: "AnnotationSummary") -> str:
    uns, evaluated = summary.uns, summary.uns["pairs_evaluated"]
    if not evaluated and uns["alpha"] == 1:
        return "Similarity alone (alpha 1)"
    how = f"{uns['rerank']} ({uns['k']})" if uns["rerank"] == "top-k" else uns["rerank"]
    share = evaluated / summary.n_pairs
    return f"Evaluated {evaluated:,} of {summary.n_pairs:,} (cell, label) pairs ({share:.1%}), rerank {how}"
