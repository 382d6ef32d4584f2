"""README and docs: commands have the options that pages show, Python compiles, links lead somewhere."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import typer.main
from page_blocks import blocks, command_lines, langcell_arguments
from places import ROOT

import langcell
from langcell.cli.commands import app

SKILL = ROOT / "skills" / "langcell" / "SKILL.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", SKILL, *sorted((ROOT / "docs").glob("*.md"))]
MOST_README_LINES = 150
CODE_IN_TEXT = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
# Options in the text of pages that belong to scripts and to other tools.
OTHER_OPTIONS = {"--change-settings", "--prepare-only", "--num_processes"}


def parse(arguments: list[str]) -> None:
    """Parse the arguments of `langcell` as the command does, without running it.

    Raises:
        Exception: click's UsageError where a command, option, value or argument is not legal.
    """
    command: Any = typer.main.get_command(app)
    name, rest = "langcell", arguments
    while hasattr(command, "commands"):
        assert rest, f"{name} needs a command"
        name, *rest = rest
        assert name in command.commands, f"there is no command {name!r}"
        command = command.commands[name]
    command.make_context(name, list(rest))


def all_options() -> set[str]:
    """Options of all langcell commands."""

    def visit(command: Any) -> Iterator[str]:
        for parameter in command.params:
            yield from (*parameter.opts, *parameter.secondary_opts)
        for inner in getattr(command, "commands", {}).values():
            yield from visit(inner)

    return set(visit(typer.main.get_command(app)))


@pytest.fixture(params=PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= MOST_README_LINES


def test_langcell_commands_have_the_options_that_pages_show(page):
    wrong = []
    for words in command_lines(page.read_text()):
        if (arguments := langcell_arguments(words)) is not None:
            try:
                parse(arguments)
            except Exception as error:
                wrong.append(f"{shlex.join(words)}: {getattr(error, 'message', error)}")
    assert not wrong


@pytest.mark.parametrize(
    "line",
    ["annotate c.h5ad -o n.h5ad --labells B", "embed c.h5ad", "annotates c.h5ad", "embed c.h5ad -o n.h5ad --x-is z"],
)
def test_a_command_that_is_not_legal_is_found(line):
    with pytest.raises(Exception, match=r"(?i)no such option|missing|no command|invalid value|not one of"):
        parse(line.split())


def test_options_in_the_text_of_pages_exist(page):
    named = {word.partition("=")[0] for code in CODE_IN_TEXT.findall(page.read_text()) for word in code.split()}
    assert not {word for word in named if re.fullmatch(r"--[a-z][\w-]+", word)} - all_options() - OTHER_OPTIONS


def test_make_targets_and_files_of_other_commands_exist(page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for words in command_lines(page.read_text()):
        if words[0] == "make":
            assert words[1] in targets
        for word in words:
            if word.startswith("training/"):
                assert (ROOT / word).is_file(), word


def test_python_blocks_compile_and_use_names_that_langcell_has(page):
    for code in blocks("python", page.read_text()):
        used = {
            node.attr
            for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "langcell"
        }
        assert used <= set(langcell.__all__)


def test_modules_in_the_text_of_pages_exist(page):
    for code in CODE_IN_TEXT.findall(page.read_text()):
        if dotted := re.match(r"langcell(\.\w+)+", code):
            resolve_name(dotted.group())


def test_json_blocks_are_json(page):
    for code in blocks("json", page.read_text()):
        json.loads(code)


def test_relative_links_lead_to_files(page):
    links = [link for link in LINK.findall(page.read_text()) if not re.match(r"\w+:", link)]
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_page_of_docs_is_in_the_table_of_contents():
    listed = {line for line in (ROOT / "docs" / "index.md").read_text().splitlines() if re.fullmatch(r"\w+", line)}
    assert listed == {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}


@pytest.mark.parametrize("floor", ["modeling_langcell", "processing", "training", "hub_cards"])
def test_readme_and_architecture_name_every_room(floor):
    rooms = {path.parent.name for path in (ROOT / floor).glob("*/__init__.py")}
    assert rooms
    tree = (ROOT / "README.md").read_text().partition("## The tree")[2]
    assert not {room for room in rooms if f"{room}/" not in tree}
    for page in ("docs/architecture.md", "CONTRIBUTING.md"):
        row = next(line for line in (ROOT / page).read_text().splitlines() if line.startswith(f"| `{floor}/`"))
        assert rooms <= set(re.findall(r"\w+", row)), page
