"""`langcell ...`: a thin layer over the library; bad input is one line and exit code 2."""

import functools
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from langcell.cli.annotate import register as register_annotation
from langcell.cli.app import register as register_app
from langcell.cli.calibrate import register as register_calibration
from langcell.cli.convert import register as register_conversion
from langcell.cli.evaluate import register as register_evaluation
from langcell.cli.export import register as register_export
from langcell.cli.finetune import register as register_finetuning
from langcell.cli.genes import register as register_genes
from langcell.cli.publish import register as register_publishing
from langcell.cli.retrieve import register as register_retrieval
from langcell.cli.shards import register as register_shards
from langcell.cli.tokenize import register as register_tokenizing
from langcell.one_line import MENDABLE, one_line

app = typer.Typer(
    help="Name, embed and find single cells by text.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# What a misspelt option raises; typer gives away only a special case of it.
_UsageError: Any = typer.BadParameter.__bases__[0]


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn what a user can mend into one line on stderr and exit code 2."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        # Of the processes that a launcher started only the first one speaks ...
        is_main = os.environ.get("RANK", "0") == "0"
        logging.basicConfig(format="%(message)s")
        logging.getLogger("langcell").setLevel(logging.INFO if is_main else logging.ERROR)
        try:
            command(*args, **kwargs)
        except MENDABLE as error:
            # ... but for what another one alone has met with, which its error's note says.
            if is_main or getattr(error, "__notes__", []):
                print(f"langcell: {one_line(error)}", file=sys.stderr)
            raise typer.Exit(2) from error

    return run


register_annotation(app, one_line_errors)


@app.command()
@one_line_errors
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path("demo"),
    model: Annotated[str, typer.Option(help="Folder, Hub id, or langcell-mini (bundled).")] = "langcell-mini",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps, ...; the best one here when not given.")] = None,
) -> None:
    """Name scanpy's 700 bundled blood cells and draw them."""
    from langcell.cli.demo import run_demo

    run_demo(output, model=model, device=device)


register_conversion(app, one_line_errors)
register_evaluation(app, one_line_errors)
register_calibration(app, one_line_errors)
register_finetuning(app, one_line_errors)
register_retrieval(app, one_line_errors)
register_tokenizing(app, one_line_errors)
register_genes(app, one_line_errors)
register_shards(app, one_line_errors)
register_publishing(app, one_line_errors)
register_app(app, one_line_errors)
register_export(app, one_line_errors)


def run_app(app: typer.Typer, arguments: list[str] | None = None, *, name: str | None = None) -> NoReturn:
    """Run a command line and exit; a misspelt option or a bad value is one line, too."""
    try:
        code = app(arguments, prog_name=name, standalone_mode=False)
    except _UsageError as error:
        message = error.format_message()
        if "\n" in message:  # the help of a group, which asks for a command
            error.show()
        else:
            command = error.ctx.command_path if error.ctx else "langcell"
            stop = "" if message.endswith((".", "?")) else "."
            print(f"langcell: {message}{stop} See {command} --help.", file=sys.stderr)
        sys.exit(2)
    sys.exit(code)


def main() -> None:
    """Entry point of the `langcell` command."""
    run_app(app, name="langcell")
