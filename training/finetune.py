"""Fine-tune LangCell on labelled cells, on as many devices as `accelerate` is set up for.

accelerate launch training/finetune.py DATA.h5ad --label-column cell_type --shots 5 -o ADAPTER

The options are those of `langcell finetune`, which does the same on one device.
"""

from typing import NoReturn

import typer

from langcell.cli.commands import one_line_errors, run_app
from langcell.cli.finetune import finetune


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run from the command line; a mistake of the user is one line and exit code 2."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(one_line_errors(finetune))
    run_app(app, arguments)


if __name__ == "__main__":
    main()
