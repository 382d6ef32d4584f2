"""`langcell ...`: a thin layer over the library; bad input is one line and exit code 2."""

import functools
import logging
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from langcell.cli_convert import register as register_conversion
from langcell.cli_evaluate import register as register_evaluation

app = typer.Typer(
    help="Name, embed and find single cells by text.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Values(StrEnum):
    """What the matrix holds."""

    counts = "counts"
    linear = "linear"
    log1p = "log1p"


Input = Annotated[Path, typer.Argument(help="h5ad file or zarr folder with the cells.", show_default=False)]
Output = Annotated[Path, typer.Option("-o", "--output", help="h5ad or zarr file to write.", show_default=False)]
Model = Annotated[str, typer.Option("--model", help="Folder, Hub id, or langcell-mini (bundled).")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps, ...; the best one here when not given.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
XIs = Annotated[Values, typer.Option("--x-is", help="What the values are; linear is TPM or counts per 10k.")]
GeneColumn = Annotated[str | None, typer.Option(help="Column of var with Ensembl ids or symbols.")]
Layer = Annotated[str | None, typer.Option(help="Layer with the values; found when not given.")]
MaxBatchTokens = Annotated[int, typer.Option(help="Padded genes in a batch at most.")]


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn what a user can mend into one line on stderr and exit code 2."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("langcell").setLevel(logging.INFO)
        try:
            command(*args, **kwargs)
        except (ValueError, OSError, MemoryError) as error:
            print(f"langcell: {' '.join(str(error).split())}", file=sys.stderr)
            raise typer.Exit(2) from error

    return run


@app.command()
@one_line_errors
def annotate(
    cells: Input,
    output: Output,
    labels: Annotated[
        str | None, typer.Option(help='Candidate labels, "B cell,NK cell,..."; quote names with commas.')
    ] = None,
    labels_file: Annotated[
        Path | None, typer.Option(help="One label a line, label<TAB>text, or JSON.", show_default=False)
    ] = None,
    ontology_root: Annotated[
        str | None, typer.Option(help="Cell Ontology id: its descendants among the model's training types.")
    ] = None,
    model: Model = "langcell-mini",
    alpha: Annotated[float | None, typer.Option(help="Weight of the similarity, 0 to 1; the model's own.")] = None,
    rerank: Annotated[
        str, typer.Option(metavar="[full|exact|none]", help="exact: the same labels from fewer matches.")
    ] = "full",
    device: Device = None,
    dtype: Dtype = "float32",
    x_is: XIs = Values.counts,
    gene_column: GeneColumn = None,
    layer: Layer = None,
    max_batch_tokens: MaxBatchTokens = 32_768,
) -> None:
    """Name the cells of INPUT by labels in words, and write them to OUTPUT."""
    import langcell
    from langcell.inference.annotation import list_plain_labels

    loaded = langcell.load(model, device=device, dtype=dtype)
    chosen = _labels(labels, labels_file, ontology_root, loaded.config.training_cell_types)
    if plain := list_plain_labels(chosen):
        print(f"Not in the Cell Ontology, used as they are: {', '.join(plain)}")
    reading = {"x_is": x_is.value, "gene_column": gene_column, "layer": layer, "max_batch_tokens": max_batch_tokens}
    langcell.annotate(cells, chosen, output=output, model=loaded, alpha=alpha, rerank=rerank, **reading)
    print(f"Wrote {output}")


@app.command()
@one_line_errors
def embed(
    cells: Input,
    output: Output,
    model: Model = "langcell-mini",
    hidden: Annotated[bool, typer.Option(help="Also write the encoder's hidden state, X_langcell_hidden.")] = False,
    device: Device = None,
    dtype: Dtype = "float32",
    x_is: XIs = Values.counts,
    gene_column: GeneColumn = None,
    layer: Layer = None,
    max_batch_tokens: MaxBatchTokens = 32_768,
) -> None:
    """Add cell embeddings (obsm X_langcell, unit length) to the cells of INPUT."""
    import langcell

    reading = {"x_is": x_is.value, "gene_column": gene_column, "layer": layer, "max_batch_tokens": max_batch_tokens}
    langcell.embed(cells, output=output, model=model, hidden=hidden, device=device, dtype=dtype, **reading)
    print(f"Wrote {output}")


@app.command()
@one_line_errors
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path("demo"),
    model: Model = "langcell-mini",
    device: Device = None,
) -> None:
    """Name scanpy's 700 bundled blood cells and draw them."""
    from langcell.demo import run_demo

    run_demo(output, model=model, device=device)


register_conversion(app, one_line_errors)
register_evaluation(app, one_line_errors)


def _labels(labels: str | None, labels_file: Path | None, ontology_root: str | None, trained: list[str] | None):
    """The candidate labels from exactly one of the three options."""
    from langcell.processing.labels import labels_under, read_labels, resolve_labels, split_labels
    from langcell.processing.ontology import Ontology

    if sum(option is not None for option in (labels, labels_file, ontology_root)) != 1:
        raise ValueError("Give the candidate labels by exactly one of --labels, --labels-file and --ontology-root.")
    if labels is not None:
        return resolve_labels(split_labels(labels))
    if labels_file is not None:
        return resolve_labels(read_labels(labels_file))
    if not trained:
        raise ValueError("--ontology-root needs a model that lists its training types; use --labels with this one.")
    return labels_under(str(ontology_root), among=trained, ontology=Ontology.cellxgene())


def main() -> None:
    """Entry point of the `langcell` command."""
    app()


if __name__ == "__main__":
    main()
