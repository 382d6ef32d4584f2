"""`langcell retrieve`: text to cells, and cell to texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from langcell.inference.naming.options import LabelOptions
from langcell.inference.search.options import SearchOptions
from langcell.loading.options import ModelOptions
from langcell.processing.options import ReadOptions, option

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from rich.table import Table

    from langcell.processing.labels.resolve import Label

_SUFFIXES = (".csv", ".parquet", ".json")
_MOST_QUERIES_SHOWN = 20


@dataclass(frozen=True)
class QueryOptions:
    """What is looked for: texts to find cells, or cells to find texts."""

    panel: ClassVar[str] = "Queries"

    text: list[str] | None = option(
        None, "Text to find cells for: a sentence, a cell type or an ontology id; may be repeated."
    )
    texts_file: Path | None = option(None, "File of texts: one per line, name<TAB>text, or JSON.", show_default=False)
    cell: list[str] | None = option(None, "Name of a cell to find texts for; may be repeated.")
    row: list[int] | None = option(None, "Row of a cell to find texts for; may be repeated.")


@dataclass(frozen=True)
class CandidateOptions(LabelOptions):
    """The texts that are chosen from for a cell."""

    panel: ClassVar[str] = "Candidate texts for --cell and --row"

    labels: str | None = option(None, 'Candidate texts with commas between them, "B cell,NK cell,...".')
    labels_file: Path | None = option(None, "File of candidate texts, as annotate takes it.", show_default=False)
    ontology_root: str | None = option(
        None, "Cell Ontology id or name; the candidates are the model's training types at or below this term."
    )


def retrieve(
    store: Annotated[
        Path,
        typer.Argument(
            metavar="STORE", help="h5ad file or zarr folder that embed or annotate wrote.", show_default=False
        ),
    ],
    queries: QueryOptions,
    candidates: CandidateOptions,
    search: SearchOptions,
    model: ModelOptions,
    reading: ReadOptions,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="CSV, parquet or JSON file to write.", show_default=False)
    ] = None,
    counts: Annotated[
        Path | None,
        typer.Option(help="File with the counts of the same cells, where the store has none.", show_default=False),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            help="faiss index of the store for approximate search; it is made where there is none.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Find the cells that fit a text (--text, --texts-file), or the texts that fit a cell (--cell, --row)."""
    from rich.console import Console

    from langcell.inference.search.retrieval import retrieve as find

    _check_output(output)
    cells = [*(queries.cell or []), *(queries.row or [])]
    texts = _texts(queries, candidates, model, for_cells=bool(cells))
    options = {**vars(search), **vars(model), **vars(reading)}
    found = find(store, texts, cells=cells or None, counts=counts, index=index, **options)
    names_of = None if cells else _names_in(store, found["row"].to_numpy())
    console = Console()
    names = found["query"].unique()
    for query in names[:_MOST_QUERIES_SHOWN]:
        console.print(_table(str(query), found.query("query == @query"), "text" if cells else "cell", names_of))
    if len(names) > _MOST_QUERIES_SHOWN:
        print(f"and {len(names) - _MOST_QUERIES_SHOWN} other queries")
    if output is not None:
        _write(found, output)
        print(f"Wrote {output}")


def _texts(
    queries: QueryOptions, candidates: CandidateOptions, model: ModelOptions, *, for_cells: bool
) -> "list[Label] | None":
    """Return the queries, or with cells the candidates; None stands for the model's training types."""
    from langcell.cli.annotate import candidate_labels
    from langcell.processing.labels.resolve import read_queries, resolve_query

    if candidates.given and (queries.text or queries.texts_file or not for_cells):
        raise ValueError(
            "--labels, --labels-file and --ontology-root say what to choose from for --cell or --row alone."
        )
    if candidates.given:
        return candidate_labels(candidates, model.model)
    texts = [resolve_query(one) for one in queries.text or []]
    texts += read_queries(queries.texts_file) if queries.texts_file else []
    if not texts and not for_cells:
        raise ValueError("Say what to look for: --text or --texts-file to find cells, --cell or --row to find texts.")
    return texts or None


def _names_in(store: Path, rows: "np.ndarray") -> dict[int, str] | None:
    """Return the names that `annotate` gave to some cells of a store, by row; None where it gave none."""
    from langcell.processing.cells.given_names import read_given_names

    given = None if store.suffix == ".npy" else read_given_names(store, rows)
    return None if given is None else dict(zip(rows.tolist(), given[0], strict=True))


def _table(query: str, found: "pd.DataFrame", what: str, names_of: dict[int, str] | None) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(query), title_justify="left")
    columns = [what, *(["row"] if what == "cell" else []), *(["name"] if names_of else [])]
    for column in columns:
        table.add_column(column)
    reranked = bool(found["match"].notna().any())
    scored = bool((found["score"] != found["similarity"]).any())
    numbers = ["score", "similarity", "match"] if reranked else ["score", "similarity"] if scored else ["similarity"]
    for column in numbers:
        table.add_column(column, justify="right")
    for values in found.to_dict("records"):
        place = [str(values["row"])] if what == "cell" else []
        name = [Text(names_of[values["row"]])] if names_of else []
        table.add_row(Text(str(values["found"])), *place, *name, *(f"{values[name]:.4f}" for name in numbers))
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
