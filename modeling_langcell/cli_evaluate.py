"""`langcell evaluate TASK`: a model measured on cells with known types."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

Command = Callable[..., None]


def register(app: typer.Typer, one_line_errors: Callable[[Command], Command]) -> None:
    """Add `evaluate` to `app`; `one_line_errors` turns what a user can mend into one line and exit code 2."""
    tasks = typer.Typer(help="Measure a model on cells with known types.", no_args_is_help=True, rich_markup_mode=None)
    tasks.command("zero-shot")(one_line_errors(zero_shot))
    app.add_typer(tasks, name="evaluate")


def zero_shot(
    data: Annotated[Path, typer.Argument(metavar="DATA.h5ad", help="Cells with known types.", show_default=False)],
    label_column: Annotated[str, typer.Option(help="Column of obs with the types.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path("results"),
    model: Annotated[
        str, typer.Option("--model", help="Folder, Hub id, or langcell-mini (bundled).")
    ] = "langcell-mini",
    label_ids_column: Annotated[
        str | None, typer.Option(help="Column of obs with each type's ontology id, which gives its text.")
    ] = None,
    labels_file: Annotated[
        Path | None, typer.Option(help="label<TAB>text; names every type in the column.", show_default=False)
    ] = None,
    profiles: Annotated[
        Path | None, typer.Option(help="Mean expression profiles: adds the nearest-profile baseline.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Weight of the similarity, 0 to 1; the model's own.")] = None,
    expect_accuracy: Annotated[float | None, typer.Option(help="Exit with 2 if the accuracy is another.")] = None,
    tolerance: Annotated[float, typer.Option(help="How far from --expect-accuracy is fine.")] = 0.005,
    seed: Annotated[int, typer.Option(help="Of the draws behind the standard deviations.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps, ...; the best one here when not given.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    x_is: Annotated[
        str, typer.Option("--x-is", metavar="[counts|linear|log1p]", help="What the values are; linear is TPM, CP10k.")
    ] = "counts",
    gene_column: Annotated[str | None, typer.Option(help="Column of var with Ensembl ids or symbols.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer with the values; found when not given.")] = None,
    max_batch_tokens: Annotated[int, typer.Option(help="Padded genes in a batch at most.")] = 32_768,
) -> None:
    """Name cells by text alone, beside similarity only, match only, the majority class and the nearest profile."""
    from langcell.training.evaluation.report import Expectation, methods_table, write_report
    from langcell.training.evaluation.zero_shot import evaluate_zero_shot

    # What can be refused is refused before the cells are read.
    expectation = None if expect_accuracy is None else Expectation(expect_accuracy, tolerance)
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; name a folder for the results (-o).")
    report = evaluate_zero_shot(
        data,
        label_column=label_column,
        model=model,
        label_ids_column=label_ids_column,
        labels_file=labels_file,
        profiles=profiles,
        alpha=alpha,
        seed=seed,
        device=device,
        dtype=dtype,
        x_is=x_is,
        gene_column=gene_column,
        layer=layer,
        max_batch_tokens=max_batch_tokens,
    )
    written = write_report(report, output)
    if plain := [label["name"] for label in report["labels"] if label["match"] is None]:
        print(f"Not in the Cell Ontology, used as they are (see --label-ids-column): {', '.join(plain)}")
    print(methods_table(report))
    print(f"Wrote {', '.join(path.name for path in written)} into {output}/")
    if expectation is not None:
        print(expectation.check(report))
