"""Options are declared once: a dataclass per group, whose fields carry their help.

The command line makes its options from the fields, and Python functions take them as keywords (`takes`), with the help
as the Args of their docstrings. Nothing here imports a library, so that `langcell --help` answers at once.
"""

import dataclasses
import difflib
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
XKind = Literal["counts", "linear", "log1p", "log2p"]
Species = Literal["auto", "human", "mouse"]

_DOC_WIDTH = 110
_PLACEHOLDER = re.compile(r"^( *)\{options\}$", re.MULTILINE)


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    names: tuple[str, ...] = (),
    metavar: str | None = None,
    cli_type: Any = None,
    show_default: bool = True,
    in_cli: bool = True,
) -> Any:
    """Declare a field of a group of options.

    Args:
        default: value when the option is not given; an option without one is required.
        help: what the option is, for the command line and for Python.
        names: names on the command line, such as ("-o", "--output"); made from the field's name when empty.
        metavar: what stands for the value in `--help`; the type when None.
        cli_type: type of the value on the command line, where Python takes more types.
        show_default: whether `--help` shows the default.
        in_cli: whether the command line has the option at all.
    """
    metadata = {
        "help": help,
        "names": names,
        "metavar": metavar,
        "cli_type": cli_type,
        "show_default": show_default,
        "in_cli": in_cli,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class ReadOptions:
    """How the values of a file are found; see `open_cells`."""

    panel: ClassVar[str] = "Reading the cells"

    x_is: XKind = option(  # noqa: RUF009  # ruff knows it by the name that other files import
        "counts",
        "Kind of the values: counts (checked), linear (TPM, counts per 10,000, corrected counts), log1p of linear "
        "values (to the base that uns['log1p'] names, else e), or log2p (log2 of 1 + x).",
        names=("--x-is",),
    )
    gene_column: str | None = option(
        None,
        "Column of var with Ensembl ids or gene symbols. When not given the index of var, or scanpy's column gene_ids "
        "where that covers as many counts; index for the index in any case.",
    )
    layer: str | None = option(None, "Layer that holds the values; found when not given.")
    species: Species = option(  # noqa: RUF009
        "auto", "Species of the genes: human, mouse (whose genes are named through orthologs), or auto, by their names."
    )
    orthologs: str | None = option(
        None,
        "Table with the human gene of each mouse gene, from Ensembl BioMart, HCOP or MGI; genes of the same letters, "
        "or the table of the extra [mouse], when not given.",
        metavar="FILE",
    )


READ_FIELDS = tuple(one.name for one in fields(ReadOptions))
"""Names of the options that `open_cells` takes, too."""


def from_keywords(keywords: Mapping[str, Any], *groups: type, function: str) -> list[Any]:
    """Make one instance of each group from keywords that belong to any of them.

    Args:
        keywords: names and values of the options that were given.
        groups: dataclasses; no two have a field of the same name.
        function: name of the function that was called, for the error.

    Raises:
        TypeError: no group has the keyword (the message names the nearest one), or a required one is missing.
        ValueError: a group refuses a value.

    >>> from_keywords({"layer": "raw"}, ReadOptions, function="read")
    [ReadOptions(x_is='counts', gene_column=None, layer='raw', species='auto', orthologs=None)]
    """
    names = [one.name for group in groups for one in fields(group)]
    for name in keywords:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"legal are {', '.join(names)}."
            raise TypeError(f"{function}() has no option {name!r}; {hint}")
    for one in (one for group in groups for one in fields(group)):
        if one.default is MISSING and one.default_factory is MISSING and one.name not in keywords:
            raise TypeError(f"{function}() needs the option {one.name!r}. {one.metadata['help']}")
    return [
        group(**{one.name: keywords[one.name] for one in fields(group) if one.name in keywords}) for group in groups
    ]


def takes(*groups: type) -> Callable[[Function], Function]:
    """Declare that a function's `**options` are the fields of these groups: in its signature and its docstring.

    The function itself calls `from_keywords`. In its docstring the line `{options}` stands for the help of the fields.

    >>> @takes(ReadOptions)
    ... def read(path, **options): ...
    >>> list(inspect.signature(read).parameters)
    ['path', 'x_is', 'gene_column', 'layer', 'species', 'orthologs']
    """
    declared = {one.name: one for group in groups for one in fields(group)}

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        *explicit, _ = signature.parameters.values()
        own = {parameter.name for parameter in explicit}
        keywords = [_keyword(one) for name, one in declared.items() if name not in own]
        described: Any = function
        described.__signature__ = signature.replace(parameters=[*explicit, *keywords])
        if function.__doc__:
            lines = [(name, one.metadata["help"]) for name, one in declared.items() if name not in own]
            described.__doc__ = _PLACEHOLDER.sub(lambda found: _args(lines, indent=found[1]), function.__doc__)
        return function

    return decorate


def _keyword(declared: Field) -> inspect.Parameter:
    default = inspect.Parameter.empty if declared.default is MISSING else declared.default
    return inspect.Parameter(declared.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=declared.type)


def _args(lines: list[tuple[str, str]], *, indent: str) -> str:
    """Names and help as the Args of a docstring."""
    hanging = f"{indent}    "
    return "\n".join(
        textwrap.fill(f"{name}: {text}", _DOC_WIDTH, initial_indent=indent, subsequent_indent=hanging)
        for name, text in lines
    )
