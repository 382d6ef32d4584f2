"""How every command looks and fails: grouped help, options from dataclasses, and one line for an error of the user."""

import logging
import os
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from langcell.cli.options import Command, with_option_groups
from langcell.one_line import USER_ERRORS, one_line

# What a misspelt option raises; typer gives away only a special case of it.
_UsageError: Any = typer.BadParameter.__bases__[0]
# Characters of a command's first sentence in the list of commands; longer ones are cut.
_SHORT_HELP = 150


class CommandLine(typer.Typer):
    """A group of commands: `langcell` itself, or one within it such as `langcell evaluate`.

    Args:
        help: one line on the group.
        keeps_name: whether a group of a single command is still called by its own name.
    """

    def __init__(self, help: str = "", *, keeps_name: bool = False) -> None:
        super().__init__(
            cls=_Group,
            help=help,
            no_args_is_help=True,
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
        )
        if keeps_name:
            self.callback()(lambda: None)

    def add(self, command: Command, name: str | None = None, *, panel: str | None = None) -> None:
        """Add a command.

        Args:
            command: a function whose parameters are options as typer has them, or groups of options.
            name: what it is called; by the function's name when None.
            panel: heading that it stands under in the help.
        """
        self.command(name, cls=_Command, rich_help_panel=panel)(with_option_groups(command))

    def run(self, arguments: list[str] | None = None, *, name: str | None = None) -> NoReturn:
        """Run a command line and exit; a misspelt option or a bad value is one line, too."""
        try:
            code = self(arguments, prog_name=name, standalone_mode=False)
        except _UsageError as error:
            message = error.format_message().replace("Value error, ", "")
            if "\n" in message:  # the help of a group, which asks for a command
                error.show()
            else:
                command = error.ctx.command_path if error.ctx else "langcell"
                stop = "" if message.endswith((".", "?")) else "."
                print(f"langcell: {message}{stop} See {command} --help.", file=sys.stderr)
            sys.exit(2)
        sys.exit(code)


class _Command(TyperCommand):
    """A command whose help has a section per group of options, and whose errors of the user are one line."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error of the user is one line on stderr and exit code 2."""
        # Of the processes that a launcher started only the first one speaks ...
        is_main = os.environ.get("RANK", "0") == "0"
        logging.basicConfig(format="%(message)s")
        logging.getLogger("langcell").setLevel(logging.INFO if is_main else logging.ERROR)
        try:
            return super().invoke(ctx)
        except USER_ERRORS as error:
            # ... but for what another one alone has met with, which its error's note says.
            if is_main or getattr(error, "__notes__", []):
                print(f"langcell: {one_line(error)}", file=sys.stderr)
            raise typer.Exit(2) from error

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, options without a group, and the groups of options, each under its heading."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            heading = "Arguments" if parameter.param_type_name == "argument" else "Options"
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or heading, []).append(record)
        _write_sections(sections, formatter)


class _Group(TyperGroup):
    """A group whose help lists the commands under headings."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands under the headings that they were added with."""
        commands: Any = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in commands.items():
            heading = getattr(command, "rich_help_panel", None) or "Commands"
            sections.setdefault(heading, []).append((name, command.get_short_help_str(_SHORT_HELP)))
        _write_sections(sections, formatter)


def _write_sections(sections: dict[str, list[tuple[str, str]]], formatter: Any) -> None:
    for heading, records in sections.items():
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)
