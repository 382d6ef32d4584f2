"""`langcell retrieve`: text to cells, and cell to texts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from langcell.processing.labels.resolve import Label

Command = Callable[..., None]

_SUFFIXES = (".csv", ".parquet", ".json")
_MOST_QUERIES_SHOWN = 20


def register(app: typer.Typer, one_line_errors: Callable[[Command], Command]) -> None:
    """Add `retrieve` to `app`; `one_line_errors` turns what a user can mend into one line and exit code 2."""
    app.command()(one_line_errors(retrieve))


def retrieve(
    store: Annotated[
        Path, typer.Argument(metavar="STORE", help="What embed or annotate wrote: h5ad or zarr.", show_default=False)
    ],
    text: Annotated[list[str] | None, typer.Option(help="Sentence, cell type or id; may be repeated.")] = None,
    texts_file: Annotated[
        Path | None, typer.Option(help="One text a line, name<TAB>text, or JSON.", show_default=False)
    ] = None,
    cell: Annotated[list[str] | None, typer.Option(help="Name of a cell to find texts for; may be repeated.")] = None,
    row: Annotated[list[int] | None, typer.Option(help="Row of a cell to find texts for; may be repeated.")] = None,
    labels: Annotated[
        str | None, typer.Option(help='Texts for cells are chosen from these, "B cell,NK cell,...".')
    ] = None,
    labels_file: Annotated[Path | None, typer.Option(help="The same from a file.", show_default=False)] = None,
    ontology_root: Annotated[
        str | None, typer.Option(help="The same: a term and all below it that the model was trained on.")
    ] = None,
    top_k: Annotated[int, typer.Option(help="Finds for each query.")] = 10,
    rerank: Annotated[int, typer.Option(help="Candidates of each query to re-rank by match; 0 for none.")] = 0,
    alpha: Annotated[float | None, typer.Option(help="Weight of the similarity in re-ranking, 0 to 1.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="CSV, parquet or JSON file to write.", show_default=False)
    ] = None,
    counts: Annotated[
        Path | None, typer.Option(help="The cells with counts, where the store has none.", show_default=False)
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="faiss index, made where there is none: approximate.", show_default=False)
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="Folder, Hub id, or langcell-mini (bundled).")
    ] = "langcell-mini",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps, ...; the best one here when not given.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto, when re-ranking.")] = "auto",
    x_is: Annotated[str, typer.Option("--x-is", metavar="[counts|linear|log1p]", help="What X holds.")] = "counts",
    gene_column: Annotated[str | None, typer.Option(help="Column of var with Ensembl ids or symbols.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer with the values; found when not given.")] = None,
) -> None:
    """Find the cells that fit a text (--text, --texts-file), or the texts that fit a cell (--cell, --row)."""
    from rich.console import Console

    from langcell.inference.search.retrieval import retrieve as find

    _check_output(output)
    cells = [*(cell or []), *(row or [])]
    texts = _texts(text, texts_file, (labels, labels_file, ontology_root), model, bool(cells))
    found = find(
        store,
        texts,
        cells=cells or None,
        model=model,
        top_k=top_k,
        rerank=rerank,
        alpha=alpha,
        counts=counts,
        index=index,
        device=device,
        dtype=dtype,
        x_is=x_is,
        gene_column=gene_column,
        layer=layer,
    )
    console = Console()
    queries = found["query"].unique()
    for query in queries[:_MOST_QUERIES_SHOWN]:
        console.print(_table(str(query), found.query("query == @query"), "text" if cells else "cell"))
    if len(queries) > _MOST_QUERIES_SHOWN:
        print(f"and {len(queries) - _MOST_QUERIES_SHOWN} other queries")
    if output is not None:
        _write(found, output)
        print(f"Wrote {output}")


def _texts(
    text: list[str] | None,
    texts_file: Path | None,
    label_options: tuple[str | None, Path | None, str | None],
    model: str,
    for_cells: bool,
) -> "list[Label] | None":
    """The queries, or with cells the candidates; None for the model's training types."""
    from langcell.cli.annotate import candidate_labels
    from langcell.processing.labels.resolve import read_queries, resolve_query

    by_labels = any(option is not None for option in label_options)
    if by_labels and (text or texts_file or not for_cells):
        raise ValueError(
            "--labels, --labels-file and --ontology-root say what to choose from for --cell or --row alone."
        )
    if by_labels:
        return candidate_labels(*label_options, model)
    queries = [resolve_query(one) for one in text or []] + (read_queries(texts_file) if texts_file else [])
    if not queries and not for_cells:
        raise ValueError("Say what to look for: --text or --texts-file to find cells, --cell or --row to find texts.")
    return queries or None


def _table(query: str, found: "pd.DataFrame", what: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(query), title_justify="left")
    columns = [what, "row"] if what == "cell" else [what]
    for column in columns:
        table.add_column(column)
    reranked = bool(found["match"].notna().any())
    numbers = ["score", "similarity", "match"] if reranked else ["similarity"]
    for column in numbers:
        table.add_column(column, justify="right")
    for values in found.to_dict("records"):
        place = [str(values["row"])] if what == "cell" else []
        table.add_row(Text(str(values["found"])), *place, *(f"{values[name]:.4f}" for name in numbers))
    return table


def _check_output(output: Path | None) -> None:
    if output is not None and (output.suffix not in _SUFFIXES or not output.parent.is_dir()):
        raise ValueError(f"Cannot write {output}; name a {', '.join(_SUFFIXES)} file in a folder that exists.")


def _write(found: "pd.DataFrame", output: Path) -> None:
    from langcell.processing.files.atomic_output import atomic_output

    with atomic_output(output) as temporary:
        if output.suffix == ".csv":
            found.to_csv(temporary, index=False)
        elif output.suffix == ".parquet":
            found.to_parquet(temporary, index=False)
        else:
            found.to_json(temporary, orient="records", indent=2)
