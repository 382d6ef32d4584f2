"""Fine-tune LangCell on labelled cells, on as many devices as `accelerate` is set up for.

accelerate launch training/finetune.py DATA.h5ad --label-column cell_type --shots 5 -o ADAPTER

The options are those of `langcell finetune`, which does the same on one device.
"""

from typing import NoReturn

from langcell.cli.command_line import CommandLine
from langcell.cli.finetune import finetune


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run from the command line; a mistake of the user is one line and exit code 2."""
    app = CommandLine()
    app.add(finetune)
    app.run(arguments)


if __name__ == "__main__":
    main()
