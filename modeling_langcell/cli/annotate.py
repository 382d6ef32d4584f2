"""`langcell annotate`, `langcell embed` and `langcell report`."""

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from langcell.inference.annotation import AnnotationSummary
    from langcell.processing.labels.resolve import Label

Command = Callable[..., None]


class Values(StrEnum):
    """What the matrix holds."""

    counts = "counts"
    linear = "linear"
    log1p = "log1p"


Input = Annotated[
    Path, typer.Argument(metavar="INPUT", help="h5ad file or zarr folder with the cells.", show_default=False)
]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="h5ad or zarr file to write; not INPUT.", show_default=False)
]
Model = Annotated[str, typer.Option("--model", help="Folder, Hub id, or langcell-mini (bundled).")]
ModelOrBase = Annotated[
    str | None,
    typer.Option(
        "--model", help="Folder or Hub id; langcell-mini (bundled), or the base that --adapter names, if not given."
    ),
]
LabelsFile = Annotated[
    Path | None,
    typer.Option(
        help="One label a line, label<TAB>text, or JSON: [names], {label: text, ontology id or null}, or a list of "
        "{name, text, ontology_term_id}.",
        show_default=False,
    ),
]
Adapter = Annotated[str | None, typer.Option(help="Folder or Hub id of what finetune made of the model.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps, ...; the best one here when not given.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto: bfloat16 where it is fast.")]
XIs = Annotated[Values, typer.Option("--x-is", help="What the values are; linear is TPM or counts per 10k.")]
GeneColumn = Annotated[str | None, typer.Option(help="Column of var with Ensembl ids or symbols.")]
Layer = Annotated[str | None, typer.Option(help="Layer with the values; found when not given.")]
SampleColumn = Annotated[
    str | None, typer.Option(help="Column of obs that names the samples, for the report; found when not given.")
]
MaxBatchTokens = Annotated[
    int | None, typer.Option(help="Padded genes in a batch at most; found from the free memory when not given.")
]


def register(app: typer.Typer, one_line_errors: Callable[[Command], Command]) -> None:
    """Add the commands to `app`; `one_line_errors` turns what a user can mend into one line and exit code 2."""
    for command in (annotate, embed, report):
        app.command()(one_line_errors(command))


def annotate(
    cells: Input,
    output: Output,
    labels: Annotated[
        str | None,
        typer.Option(
            help='Candidate labels, "B cell,NK cell,..."; quote names with commas. A fine-tuned model or adapter needs '
            "none: it has its own."
        ),
    ] = None,
    labels_file: LabelsFile = None,
    ontology_root: Annotated[
        str | None, typer.Option(help="Cell Ontology id or name: what is below it among the model's training types.")
    ] = None,
    model: ModelOrBase = None,
    adapter: Adapter = None,
    alpha: Annotated[float | None, typer.Option(help="Weight of the similarity, 0 to 1; the model's own.")] = None,
    rerank: Annotated[
        str,
        typer.Option(
            metavar="[exact|full|top-k|none]",
            help="exact: the labels of full from fewer matches; full: all scores; top-k: an approximation; "
            "none: similarity only.",
        ),
    ] = "exact",
    k: Annotated[int, typer.Option("--k", help="Labels whose match top-k evaluates.")] = 10,
    unknown: Annotated[
        str | None,
        typer.Option(metavar="NUMBER|FILE", help="Call cells unknown below this confidence, or by a calibration."),
    ] = None,
    smooth: Annotated[
        float | None, typer.Option(metavar="STRENGTH", help="Smooth scores over neighbouring cells; 1 is moderate.")
    ] = None,
    smooth_over: Annotated[
        str | None, typer.Option(metavar="OBSM", help="Neighbours in this matrix of obsm (X_pca), not embeddings.")
    ] = None,
    ontology_backoff: Annotated[
        float | None,
        typer.Option(metavar="MARGIN", help="Siblings whose scores are this close become their common ancestor."),
    ] = None,
    reference: Annotated[
        bool, typer.Option(help="Compare the cells with the model's reference cells, too, where it has some.")
    ] = True,
    device: Device = None,
    dtype: Dtype = "auto",
    x_is: XIs = Values.counts,
    gene_column: GeneColumn = None,
    layer: Layer = None,
    max_batch_tokens: MaxBatchTokens = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write an HTML page on the named cells (extra app).", show_default=False)
    ] = None,
    sample_column: SampleColumn = None,
) -> None:
    """Name the cells of INPUT by labels in words, and write them to OUTPUT.

    A run that was killed goes on where it stopped when it is started again with the same arguments. Under torchrun or
    accelerate launch, the processes share the cells.
    """
    from langcell.inference.annotation import run_annotation
    from langcell.inference.naming.name_cells import NamingOptions
    from langcell.inference.running.job import Job
    from langcell.inference.running.processes import Processes
    from langcell.inference.running.reading import ReadingOptions
    from langcell.processing.labels.notes import label_notes
    from langcell.reporting.page import check_report, write_report

    with Processes.launched() as processes:
        with processes.together():
            if report is not None:
                check_report(report, cells, sample_column)
            elif sample_column is not None:
                raise ValueError("--sample-column is for the report; give --report report.html, too.")
            options = ReadingOptions(x_is.value, gene_column, layer, max_batch_tokens=max_batch_tokens)
            job = Job(cells, output, model, device, dtype, options, processes, adapter)
            job.check()
            chosen = candidate_labels(labels, labels_file, ontology_root, model, adapter)
        notes = label_notes(chosen)
        if labels is None and labels_file is None and ontology_root is None:
            notes = [
                f"No labels given; those of the fine-tuning are taken: {', '.join(label.name for label in chosen)}"
            ]
        for note in notes if processes.is_main else ():
            print(note)
        naming = NamingOptions(alpha, rerank, k, unknown, smooth, smooth_over, ontology_backoff, reference)
        summary = run_annotation(job, chosen, naming)
    if summary is not None:
        _print_summary(summary)
        print(f"Wrote {output}")
        if report is not None:
            command = ["langcell", *sys.argv[1:]]
            write_report(output, report, sample_column=sample_column, command=command, data_name=cells.name)
            print(f"Wrote {report}")


def report(
    named: Annotated[
        Path, typer.Argument(metavar="NAMED", help="h5ad file or zarr folder that annotate wrote.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")] = Path("report.html"),
    sample_column: SampleColumn = None,
    max_drawn: Annotated[int, typer.Option(min=1, help="Cells of the map; of more, so many at random.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of the map.")] = 0,
) -> None:
    """Show the named cells of NAMED on one HTML page: maps, samples, confidence, coverage, settings (extra app).

    The page needs no network. The same as annotate --report, for a file that is there already.
    """
    from langcell.reporting.page import write_report

    write_report(named, output, sample_column=sample_column, most_drawn=max_drawn, seed=seed)
    print(f"Wrote {output}")


def embed(
    cells: Input,
    output: Output,
    model: ModelOrBase = None,
    adapter: Adapter = None,
    hidden: Annotated[bool, typer.Option(help="Also write the encoder's hidden state, X_langcell_hidden.")] = False,
    device: Device = None,
    dtype: Dtype = "auto",
    x_is: XIs = Values.counts,
    gene_column: GeneColumn = None,
    layer: Layer = None,
    max_batch_tokens: MaxBatchTokens = None,
) -> None:
    """Add cell embeddings (obsm X_langcell, unit length) to the cells of INPUT.

    Resumable, and shared by the processes of torchrun or accelerate launch, as annotate is.
    """
    from langcell.inference.annotation import run_embedding
    from langcell.inference.running.job import Job
    from langcell.inference.running.processes import Processes
    from langcell.inference.running.reading import ReadingOptions

    with Processes.launched() as processes:
        with processes.together():
            options = ReadingOptions(x_is.value, gene_column, layer, max_batch_tokens=max_batch_tokens)
        run_embedding(Job(cells, output, model, device, dtype, options, processes, adapter), hidden=hidden)
    if processes.is_main:
        print(f"Wrote {output}")


def candidate_labels(
    labels: str | None,
    labels_file: Path | None,
    ontology_root: str | None,
    model: str | None,
    adapter: str | None = None,
) -> "list[Label]":
    """The candidate labels from one of the three options, or the model's own where none is given."""
    from langcell.inference.naming.fine_tuned_labels import config_of, own_labels
    from langcell.processing.labels.resolve import labels_under, read_labels, resolve_labels
    from langcell.processing.labels.splitting import split_labels
    from langcell.processing.ontology.terms import Ontology

    if sum(option is not None for option in (labels, labels_file, ontology_root)) > 1:
        raise ValueError("Give the candidate labels by exactly one of --labels, --labels-file and --ontology-root.")
    if labels is not None:
        return resolve_labels(split_labels(labels))
    if labels_file is not None:
        return read_labels(labels_file)
    config = config_of(model, adapter)
    if ontology_root is None:
        return own_labels(config)
    if not (trained := config.training_cell_types):
        raise ValueError("--ontology-root needs a model that lists its training types; use --labels with this one.")
    return labels_under(ontology_root, among=trained, ontology=Ontology.cellxgene())


def _print_summary(summary: "AnnotationSummary") -> None:
    """One line on the work, and a table of the labels."""
    from langcell.cli.label_table import print_label_table

    evaluated, uns = summary.uns["pairs_evaluated"], summary.uns
    print(
        f"Evaluated {evaluated:,} of {summary.n_pairs:,} (cell, label) pairs ({evaluated / summary.n_pairs:.1%}), "
        f"rerank {_rerank_in_words(uns)}, {uns['dtype']}, {uns['reference_cells'] or 'no'} reference cells"
    )
    print_label_table(summary)


def _rerank_in_words(uns: dict[str, Any]) -> str:
    return f"{uns['rerank']} ({uns['k']})" if uns["rerank"] == "top-k" else uns["rerank"]
