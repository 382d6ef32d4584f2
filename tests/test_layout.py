"""What no library knows of the layout; import-linter holds the rest (pyproject.toml, `make lint`)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from places import ROOT
from source_files import FLOORS, place_of, source_files

LINKS = ROOT / ".src" / "langcell"

# Files that lie beside the weights. They have to work without langcell.
HUB_FILES = [
    ROOT / folder / f"{name}.py"
    for folder, names in {
        "modeling_langcell": (
            "cell_blocks_langcell",
            "configuration_langcell",
            "encoders_langcell",
            "handler",
            "modeling_langcell",
            "pipeline_langcell",
            "reranking_langcell",
            "scoring_langcell",
            "sentence_transformers_langcell",
            "text_blocks_langcell",
        ),
        "processing": ("feature_extraction_langcell", "processing_langcell", "genes", "rank_values", "reference_cells"),
    }.items()
    for name in names
]
HUB_LIBRARIES = {"numpy", "torch", "transformers", "huggingface_hub"} | sys.stdlib_module_names
# What one file alone is for, inside `try`: transformers does not ask it of anybody.
LIBRARY_OF = {"sentence_transformers_langcell": {"sentence_transformers"}}
# Folders that Python puts on its path when a script in them runs: a file there hides a library of the same name.
SCRIPT_FOLDERS = ("training", "hub_cards/space", "benchmarks")

MOST_LINES = 400
LONGER_FILES = {
    "modeling_langcell/modeling_langcell.py": "one model, one file, as transformers and its Hub code have it",
}
MOST_FILES = 20  # of a room; more files side by side are rooms that nobody has drawn


def imports_of(path: Path) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Each import statement of a file, and whether a function holds it."""

    def visit(node: ast.AST, lazy: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
        lazy = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, lazy
        for child in ast.iter_child_nodes(node):
            yield from visit(child, lazy)

    return visit(ast.parse(path.read_text(encoding="utf-8")), False)


def modules_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    """What an import statement names, as written."""
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]


# Imports


def test_hub_files_import_siblings_as_from_dot_x():
    names = {path.stem for path in HUB_FILES}
    found = [(path, node) for path in HUB_FILES for node, _ in imports_of(path) if getattr(node, "level", 0)]
    assert found
    wrong = [place_of(path, node) for path, node in found if node.level != 1 or node.module not in names]
    assert not wrong


def test_hub_files_need_few_libraries():
    wrong = [
        place_of(path, node)
        for path in HUB_FILES
        for node, _ in imports_of(path)
        if not getattr(node, "level", 0)
        and {name.partition(".")[0] for name in modules_of(node)} - HUB_LIBRARIES - LIBRARY_OF.get(path.stem, set())
    ]
    assert not wrong


def test_hub_files_import_libraries_at_the_top_only():
    # transformers asks every user for a library that a function or an `if TYPE_CHECKING` imports, but not for one that
    # `try` imports. Siblings may stand anywhere: they travel with the model.
    for path in HUB_FILES:
        tree = ast.parse(path.read_text())
        tried = [inner for node in tree.body if isinstance(node, ast.Try) for inner in node.body]
        top = {id(node) for node in [*tree.body, *tried]}
        inner = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in top and not getattr(node, "level", 0)
        ]
        assert not inner, f"{path.name}: {inner}"


def test_hub_files_have_no_text_that_looks_like_a_relative_import():
    # transformers finds relative imports by their text: a line of a docstring counts.
    for path in HUB_FILES:
        imports = {node.lineno for node, _ in imports_of(path)}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not line.strip().startswith(("from .", "import .")) or number in imports, f"{path.name}:{number}"


@pytest.mark.parametrize("package", ["langcell.training", "langcell.hub_cards"])
def test_what_costs_seconds_is_imported_where_it_is_needed(package):
    # import-linter sees who imports whom, not when. Groups of options import no library, nor does the table of tasks.
    wrong = [
        place_of(path, node)
        for path in source_files("modeling_langcell")
        for node, lazy in imports_of(path)
        if not lazy
        and any(
            f"{name}.".startswith(f"{package}.") and not name.endswith((".options", ".registry"))
            for name in modules_of(node)
        )
    ]
    assert not wrong


def test_the_command_line_answers_without_libraries():
    script = "import sys; sys.orig_argv[:] = ['langcell.cli']; import langcell.cli.commands; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "langcell.cli.annotate" in loaded
    assert not {"torch", "transformers", "numpy", "pandas", "anndata", "huggingface_hub"} & set(loaded)


def test_files_that_are_no_hub_files_import_absolutely():
    # Scripts run by path have no parent package: a relative import would fail there.
    wrong = [
        place_of(path, node)
        for path in source_files(*FLOORS)
        if path not in HUB_FILES
        for node, _ in imports_of(path)
        if getattr(node, "level", 0)
    ]
    assert not wrong


# Folders


def test_every_file_is_importable_through_the_links():
    # A new file beside modeling_langcell/__init__.py needs a link; one of a room does not.
    through_links = {path.resolve() for link in LINKS.iterdir() for path in [link, *link.rglob("*.py")]}
    assert not [str(path) for path in source_files(*FLOORS) if path.resolve() not in through_links]
    assert not [link.name for link in LINKS.iterdir() if not link.exists()]


def test_every_room_says_what_lives_there_and_who_may_enter():
    for folder in {path.parent for path in source_files(*FLOORS)}:
        init = folder / "__init__.py"
        assert init.is_file(), folder
        assert ast.get_docstring(ast.parse(init.read_text())), folder


def test_no_room_is_crowded():
    rooms: dict[str, int] = {}
    for path in source_files(*FLOORS):
        rooms[path.parent.relative_to(ROOT).as_posix()] = rooms.get(path.parent.relative_to(ROOT).as_posix(), 0) + 1
    assert not {room: files for room, files in rooms.items() if files > MOST_FILES}


def test_every_room_has_a_test_folder():
    rooms = {path.parent.relative_to(ROOT) for path in source_files(*FLOORS) if path.name != "__init__.py"}
    assert not [str(room) for room in rooms if not list((ROOT / "tests" / room).glob("test_*.py"))]


@pytest.mark.parametrize("folder", SCRIPT_FOLDERS)
def test_no_file_beside_a_script_carries_the_name_of_a_library(folder):
    # `accelerate launch training/x.py` puts training/ first on the path: training/datasets.py would replace `datasets`.
    libraries = {name for name in packages_distributions() if name != "langcell"} | sys.stdlib_module_names
    names = {path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert not names & libraries


# Files


@pytest.mark.parametrize("folder", [*FLOORS, "benchmarks"])
def test_files_stay_short(folder):
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in source_files(folder)}
    too_long = {name: lines for name, lines in lengths.items() if lines > MOST_LINES and name not in LONGER_FILES}
    assert not too_long, f"at most {MOST_LINES} lines a file"
    # An exception that is not needed any more would hide the next long file.
    assert all(lengths[name] > MOST_LINES for name in LONGER_FILES if name.startswith(f"{folder}/"))
