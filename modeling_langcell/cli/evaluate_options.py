"""The options of `langcell evaluate`: each is written once here, and a task's command takes those that it has."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from langcell.cli.annotate import ModelOrBase

Command = Callable[..., None]
REQUIRED = inspect.Parameter.empty
"""Default of an option that has to be given."""

OPTIONS: Mapping[str, Any] = {
    "data": Annotated[Path, typer.Argument(metavar="DATA.h5ad", help="h5ad file or zarr folder.", show_default=False)],
    "output": Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")],
    "label_column": Annotated[str, typer.Option(help="Column of obs with the types.", show_default=False)],
    "label_ids_column": Annotated[
        str | None, typer.Option(help="Column of obs with each type's ontology id, which gives its text.")
    ],
    "labels_file": Annotated[
        Path | None, typer.Option(help="label<TAB>text; names every type in the column.", show_default=False)
    ],
    "model": ModelOrBase,
    "adapter": Annotated[str | None, typer.Option(help="Adapter for the model: folder or Hub id.", show_default=False)],
    # of the tasks
    "alpha": Annotated[float | None, typer.Option(help="Weight of the similarity, 0 to 1; the model's own.")],
    "profiles": Annotated[
        Path | None,
        typer.Option(help="Mean expression profiles: adds the nearest-profile baseline.", show_default=False),
    ],
    "shots": Annotated[str, typer.Option(metavar="K,K,...", help="Labelled cells of each type.")],
    "cells_per_type": Annotated[int, typer.Option(help="Labelled cells of each type that is seen.")],
    "held_out": Annotated[
        str | None, typer.Option(help='Types to hold out, "B cell,..."; a third, drawn anew, when not given.')
    ],
    "repeats": Annotated[int, typer.Option(help="Draws behind each standard deviation; one draw has none.")],
    "method": Annotated[str, typer.Option(metavar="[lora|full|head]", help="What fine-tuning changes.")],
    "steps": Annotated[int | None, typer.Option(help="Steps of fine-tuning; langcell finetune's choice.")],
    "candidates": Annotated[
        str, typer.Option(metavar="[ontology|training]", help="Texts: all of CL, or the model's training types.")
    ],
    "batch_column": Annotated[str, typer.Option(help="Column of obs with the batches.", show_default=False)],
    "gene_sets": Annotated[Path, typer.Option(help="GMT file of gene sets.", show_default=False)],
    "active_share": Annotated[float, typer.Option(help="Share of the cells in which a gene set is called active.")],
    "target_risk": Annotated[float, typer.Option(help="Share of wrong labels that the threshold keeps to.")],
    "expect_accuracy": Annotated[float | None, typer.Option(help="Exit with 2 if the accuracy is another.")],
    "tolerance": Annotated[float, typer.Option(help="How far from --expect-accuracy is fine.")],
    "disease_column": Annotated[str | None, typer.Option(help="Column of obs with the diseases.")],
    "disease_labels_file": Annotated[
        Path | None, typer.Option(help="label<TAB>text of the diseases.", show_default=False)
    ],
    # of reading and running
    "max_cells": Annotated[int | None, typer.Option(help="Evaluate on this many cells at most, drawn by the seed.")],
    "seed": Annotated[int, typer.Option(help="Of all draws.")],
    "device": Annotated[str | None, typer.Option(help="cpu, cuda, mps, ...; the best one here when not given.")],
    "dtype": Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto.")],
    "x_is": Annotated[
        str, typer.Option("--x-is", metavar="[counts|linear|log1p]", help="What the values are; linear is TPM, CP10k.")
    ],
    "gene_column": Annotated[str | None, typer.Option(help="Column of var with Ensembl ids or symbols.")],
    "layer": Annotated[str | None, typer.Option(help="Layer with the values; found when not given.")],
    "max_batch_tokens": Annotated[
        int | None, typer.Option(help="Padded genes in a batch at most; found from the free memory when not given.")
    ],
    "cache": Annotated[bool, typer.Option("--cache/--no-cache", help="Take a kept result of the same question.")],
}
SUBJECT: Mapping[str, Any] = {
    "data": REQUIRED,
    "output": Path("results"),
    "model": None,
    "adapter": None,
}
LABELS: Mapping[str, Any] = {"label_column": REQUIRED, "label_ids_column": None, "labels_file": None}
RUNNING: Mapping[str, Any] = {
    "max_cells": None,
    "seed": 0,
    "device": None,
    "dtype": "float32",
    "x_is": "counts",
    "gene_column": None,
    "layer": None,
    "max_batch_tokens": None,
    "cache": True,
}
CONTEXT = ("model", "adapter", *LABELS, *(name for name in RUNNING if name != "cache"))
"""What an `EvaluationContext` takes, beside the data."""


def with_options(function: Callable[..., None], defaults: Mapping[str, Any], *, doc: str) -> Command:
    """A command that takes the named options and calls `function` with them as keywords.

    Args:
        function: takes keywords.
        defaults: name of each option, one of `OPTIONS`, and its default (REQUIRED for none); an option whose default is
            None here may be left out even where its type says otherwise.
        doc: the help.
    """
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=_type_of(name, default))
        for name, default in defaults.items()
    ]

    def command(**options: Any) -> None:
        function(**options)

    command.__doc__ = doc
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]  # typer reads it
    return command


def _type_of(name: str, default: Any) -> Any:
    written = OPTIONS[name]
    base, *extra = written.__origin__, *written.__metadata__
    return Annotated[(base | None, *extra)] if default is None else written
