"""The options of commands: those that several share, and one per field of a dataclass of options."""

import inspect
import os
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from langcell.processing.containers.addresses import check_place
from langcell.processing.options import option

Command = Callable[..., None]

_KINDS = "h5ad, zarr, h5mu, loom, 10x .h5, a folder with matrix.mtx, a .gz of these, or hf://datasets/..."
Cells = Annotated[
    Path, typer.Argument(metavar="INPUT", help=f"File or folder with the cells: {_KINDS}.", show_default=False)
]
LabelledCells = Annotated[
    Path,
    typer.Argument(metavar="DATA", help=f"File or folder with cells of known types: {_KINDS}.", show_default=False),
]
CellSources = Annotated[
    list[str] | None,
    typer.Argument(help=f"Files and folders with cells: {_KINDS}; or quoted globs of them."),
]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="h5ad or zarr file to write; not INPUT.", show_default=False)
]
NamedOutput = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="h5ad or zarr file to write; not INPUT. NAME_named.h5ad in the current folder when not given.",
        show_default=False,
    ),
]
SampleColumn = Annotated[
    str | None,
    typer.Option(help="Column of obs with the sample of each cell, for the report; found when not given."),
]


def with_option_groups(command: Command) -> Command:
    """Return the command with one option per field in place of each parameter whose type is a group of options.

    Args:
        command: a function; its parameters are groups (dataclasses), or options and arguments as typer has them.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for parameter in inspect.signature(command).parameters.values():
        if is_dataclass(parameter.annotation) and isinstance(parameter.annotation, type):
            groups[parameter.name] = parameter.annotation
            parameters += [_parameter(one, parameter.annotation) for one in cli_fields(parameter.annotation)]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    places = [one.name for one in parameters if one.annotation in (Cells, LabelledCells)]

    def run(**given: Any) -> None:
        for name in places if is_alone() else ():
            check_place(given[name])
        built = {name: _built(group, given) for name, group in groups.items()}
        of_groups = {one.name for group in groups.values() for one in cli_fields(group)}
        command(**{name: value for name, value in given.items() if name not in of_groups}, **built)

    described: Any = run
    described.__name__, described.__doc__ = command.__name__, command.__doc__
    described.__signature__ = inspect.Signature(parameters)
    described.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def is_alone() -> bool:
    """Return whether no launcher started this process: those of one run check their input together, or some would
    wait."""
    return os.environ.get("WORLD_SIZE", "1") == "1"


def cli_fields(group: type) -> list[Field]:
    """Return the fields of a group that the command line has."""
    return [one for one in fields(group) if one.metadata.get("in_cli")]


def all_optional(name: str, *groups: type) -> type:
    """Return one group with the command-line fields of all groups, each once and None when not given."""
    found: dict[str, Any] = {}
    for one in (one for group in groups for one in cli_fields(group)):
        keywords = {key: value for key, value in one.metadata.items() if key != "cli_type"}
        found.setdefault(one.name, (one.name, Any, option(None, cli_type=_cli_type(one), **keywords)))
    return make_dataclass(name, list(found.values()), frozen=True, namespace={"panel": groups[0].panel})  # type: ignore


def _parameter(declared: Field, group: Any) -> inspect.Parameter:
    """One option, as typer reads it from a signature."""
    metadata, default = declared.metadata, declared.default
    kind = _cli_type(declared)
    several = default == ()
    if isinstance(default, tuple) and default:
        default = ",".join(map(str, default))
    info = typer.Option(
        *metadata["names"],
        help=metadata["help"],
        metavar=metadata["metavar"],
        show_default=metadata["show_default"],
        rich_help_panel=group.panel,
    )
    return inspect.Parameter(
        declared.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is MISSING else None if several else default,
        annotation=Annotated[kind | None if default is None or several else kind, info],
    )


def _cli_type(declared: Field) -> Any:
    """Type of an option on the command line, None aside where that stands for an option that is not given."""
    return declared.metadata["cli_type"] or declared.type


def _built(group: type, given: dict[str, Any]) -> Any:
    """Return the group from the values of its options; an option that may be repeated is a tuple."""
    values = {one.name: given[one.name] for one in cli_fields(group)}
    several = {one.name for one in cli_fields(group) if one.default == ()}
    return group(**{name: tuple(value or ()) if name in several else value for name, value in values.items()})
