"""Rules of CONTRIBUTING that a test can hold: how docstrings, arguments, commands and options are described."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from source_files import FLOORS, place_of, source_files

from langcell.cli.commands import app

# Words with which a docstring of a function may begin. Another verb is welcome: add it.
VERBS = frozenset(
    """
    add answer append apply ask attend average begin bring build call cast check choose classify close collect
    colour compare compile compute concatenate contrast copy count cut decide declare describe diffuse do download
    draw drop embed encode end evaluate exit explain fill find fine-tune fit flag forget gather give go hand hold
    ignore import index join keep learn leave let link list load log look make map mark match measure merge move name
    note open pad pass pick place predict prepare print propose publish put raise rank read recognise refuse register
    release remember remove repeat replace resolve restore return run save say scale score search see send serve
    set show shuffle silence skip sort split start stop store summarise take teach tell tokenize train turn
    update upload use verify wait warn work write yield
    """.split()  # noqa: SIM905
)
NO_VERBS = {"the", "what", "whether", "who", "of", "a", "an", "where", "how", "which"}
ARGUMENT = re.compile(r"^\s+[\w, *]+: (Of|of|Whose|whose) ", re.MULTILINE)


def public_functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods that are no properties, which are things."""

    def visit(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
                yield from visit(child)
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and not child.name.startswith("_"):
                marks = {ast.unparse(mark).rpartition(".")[2] for mark in child.decorator_list}
                if not any("property" in mark or mark == "overload" for mark in marks):
                    yield child

    return visit(ast.parse(path.read_text(encoding="utf-8")))


def first_word(text: str) -> str:
    return re.split(r"[\s,;:.]", text.strip(), maxsplit=1)[0].lower()


def test_docstrings_of_public_functions_begin_with_a_verb():
    functions = [(path, node) for path in source_files(*FLOORS) for node in public_functions(path)]
    assert len(functions) > 1000
    wrong = [
        f"{place_of(path, node)} {node.name}: {docstring.splitlines()[0]}"
        for path, node in functions
        if (docstring := ast.get_docstring(node)) and first_word(docstring) not in VERBS
    ]
    assert not wrong


def test_what_a_docstring_says_of_the_result_is_what_the_signature_says():
    wrong = []
    for path in source_files(*FLOORS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.returns is not None and (text := ast.get_docstring(node)):
                verb, returns = first_word(text), ast.unparse(node.returns)
                yields = any(kind in returns for kind in ("Iterator", "Generator", "Iterable"))
                if (verb == "yield" and not yields) or (verb == "return" and returns == "None"):
                    wrong.append(f"{place_of(path, node)} {node.name} -> {returns}: {text.splitlines()[0]}")
    assert not wrong


def test_arguments_are_full_noun_phrases():
    wrong = []
    for path in source_files(*FLOORS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found = ARGUMENT.search(ast.get_docstring(node, clean=False) or "")
                wrong += [f"{place_of(path, node)} {found[0].strip()}"] if found else []
    assert not wrong


def test_commands_begin_with_a_verb_and_options_do_not_begin_with_of():
    def visit(name: str, command: Any) -> Iterator[str]:
        if first_word(command.help or "") not in VERBS:
            yield f"{name}: {command.help}"
        for parameter in command.params:
            if first_word(getattr(parameter, "help", None) or "") in {"of", "whose", "what", "who"}:
                yield f"{name} {parameter.name}: {parameter.help}"
        for inner, child in getattr(command, "commands", {}).items():
            yield from visit(f"{name} {inner}", child)

    assert not list(visit("langcell", typer.main.get_command(app)))


def test_the_rule_finds_what_it_is_for():
    assert not VERBS & NO_VERBS
    assert ARGUMENT.search("\n        seed: of the map.\n")
    assert not ARGUMENT.search("\n        seed: random seed of the map.\n")
