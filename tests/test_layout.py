"""The layout and its import rules, frozen: three floors (training above the model above processing), cards beside."""

import ast
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Package -> its folder, for every package that pyproject names.
PACKAGES: dict[str, Path] = {}
for _package in PYPROJECT["tool"]["setuptools"]["packages"]:
    _base = max(
        (name for name in PYPROJECT["tool"]["setuptools"]["package-dir"] if f"{_package}.".startswith(f"{name}.")),
        key=len,
    )
    _rest = _package.removeprefix(_base).strip(".").split(".")
    PACKAGES[_package] = ROOT.joinpath(PYPROJECT["tool"]["setuptools"]["package-dir"][_base], *filter(None, _rest))
FOLDERS = ("modeling_langcell", "processing", "training", "hub_cards")
BUNDLED_MODEL = ROOT / "hub_cards" / "langcell-mini"  # a Hub repository: its code is a copy

# Files that are copied beside the weights. They have to work without langcell.
HUB_FILES = (
    "configuration_langcell",
    "modeling_langcell",
    "pipeline_langcell",
    "feature_extraction_langcell",
    "processing_langcell",
    "genes",
    "rank_values",
    "reference_cells",
)
HUB_LIBRARIES = {"numpy", "torch", "transformers", "huggingface_hub"} | sys.stdlib_module_names

MOST_LINES = 400
LONGER_FILES = {
    "modeling_langcell/modeling_langcell.py": "one model, one file, as transformers and its Hub code have it",
}
# Files without a test file of their own, and where they are tested.
TESTED_ELSEWHERE: dict[str, str] = {
    # What another process runs.
    "processing/tokenization/compiled_workers.py": "test_tokenizing.py",
    "hub_cards/publishing/fresh_load.py": "test_load_checks.py",
    # Parts of one stream of batches.
    "training/data/collation.py": "test_cell_batches.py",
    "training/data/shard_reader.py": "test_streaming.py",
    "training/data/windows.py": "test_streaming.py",
    # Parts of one export, which takes its time; one fixture makes it for all of them.
    "modeling_langcell/cli/export.py": "test_onnx_export.py",
    "modeling_langcell/onnx_export/graphs.py": "test_onnx_export.py",
    "modeling_langcell/onnx_export/parity.py": "test_onnx_export.py",
    "modeling_langcell/loading/onnx_model.py": "test_onnx_export.py",
    "modeling_langcell/inference/scoring/onnx_scores.py": "test_onnx_export.py",
    # What annotate and embed have in common, tested by what they do.
    "modeling_langcell/inference/running/job.py": "test_annotation.py",
    "modeling_langcell/inference/scored_cells.py": "test_annotation.py",
    # Steps of one command, tested by what `langcell convert` and `verify` make of good and bad sources.
    "modeling_langcell/cli/convert.py": "test_verify.py",
    "modeling_langcell/conversion/converted_folder.py": "test_verify.py",
    "modeling_langcell/conversion/self_test.py": "test_verify.py",
    # Both of its users read real checkpoint folders with it.
    "modeling_langcell/conversion/bert_parts.py": "test_assemble.py",
    # The app, tested by what its page does in a browser; the process alone is in test_cli_app.
    "modeling_langcell/app/actions.py": "test_app.py",
    "modeling_langcell/app/messages.py": "test_app.py",
    "modeling_langcell/app/serving.py": "test_app.py",
    # The line that bad input makes, on the command line and in the app.
    "modeling_langcell/one_line.py": "test_bad_input.py",
    # What a killed run goes on from.
    "training/pretraining/run_state.py": "test_resume.py",
    # The options of one command, tested by its tasks.
    "modeling_langcell/cli/evaluate_options.py": "test_cli_evaluate.py",
    # Fine-tuned models inside an evaluation, for three of its tasks.
    "training/evaluation/tasks/fine_tuned_models.py": "test_evaluation_few_shot.py",
    # A run's last act, compared with the folder that it started from.
    "training/checkpointing/export.py": "test_pretrain.py",
    "training/pretraining/loop.py": "test_pretrain.py",
    "training/settings/sections.py": "test_config_files.py",
    # The recipe's last step, tested with the recipe.
    "training/package_model.py": "test_langcell_mini.py",
}


@dataclass(frozen=True)
class Import:
    """One imported module, absolute; `lazy` inside a function, `level` as written (0 absolute, 1 `.x`, ...)."""

    file: Path
    line: int
    module: str
    level: int
    lazy: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT).as_posix()}:{self.line} imports {self.module}"

    @property
    def library(self) -> str:
        """The top-level module."""
        return self.module.partition(".")[0]

    def is_of(self, package: str) -> bool:
        """The module is the package or inside it."""
        return self.module == package or self.module.startswith(f"{package}.")


def source_files(*folders: str) -> list[Path]:
    """Python files of the packages, without the code copies of the bundled model."""
    files = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [path for path in files if BUNDLED_MODEL not in path.parents]


def module_name(path: Path) -> str:
    """The name that a file is imported by; of a file in no listed package, its path."""
    packages = {folder: package for package, folder in PACKAGES.items()}
    package = packages.get(path.parent, path.parent.relative_to(ROOT).as_posix())
    return package if path.name == "__init__.py" else f"{package}.{path.stem}"


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    found = []

    def visit(node: ast.AST, lazy: bool) -> None:
        lazy = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(node, ast.Import):
            found.extend(Import(path, node.lineno, alias.name, 0, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = module_name(path) if path.name != "__init__.py" else f"{module_name(path)}.__init__"
            parents = name.split(".")[: -node.level] if node.level else []
            module = ".".join([*parents, *filter(None, [node.module])])
            # `from package import x` imports a module too where x is one.
            inner = [f"{module}.{alias.name}" for alias in node.names if f"{module}.{alias.name}" in all_modules()]
            found.extend(Import(path, node.lineno, name, node.level, lazy) for name in inner or [module])
        for child in ast.iter_child_nodes(node):
            visit(child, lazy)

    visit(parsed(path), False)
    return tuple(found)


@cache
def all_modules() -> frozenset[str]:
    return frozenset(module_name(path) for path in source_files(*FOLDERS))


def imports_in(*folders: str) -> list[Import]:
    return [found for path in source_files(*folders) for found in imports_of(path)]


def hub_sources() -> list[Path]:
    return [path for path in source_files("modeling_langcell", "processing") if path.stem in HUB_FILES]


def test_the_rules_see_the_imports():
    # A rule that finds nothing to judge passes always.
    assert len(hub_sources()) >= len(HUB_FILES) - 1
    assert len(imports_in("processing")) > 50
    assert any(found.lazy for found in imports_in(*FOLDERS))
    assert any(found.is_of("langcell.processing.genes") for found in imports_in("modeling_langcell"))
    assert any(found.is_of("langcell.processing.genes") and found.level for found in imports_in("processing"))


# Import rules


def test_processing_imports_nothing_else_of_langcell():
    wrong = [i for i in imports_in("processing") if i.library == "langcell" and not i.is_of("langcell.processing")]
    assert not wrong, list(map(str, wrong))


def test_hub_files_import_siblings_as_from_dot_x():
    wrong = []
    for path in hub_sources():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and node.level:
                sibling = node.module and "." not in node.module and path.with_name(f"{node.module}.py")
                # The sibling is copied as well, so it has to keep the rules itself.
                if node.level != 1 or not sibling or not sibling.is_file() or node.module not in HUB_FILES:
                    wrong.append(f"{path.name}:{node.lineno}")
    assert not wrong, wrong


def test_hub_files_need_few_libraries():
    wrong = [
        found
        for path in hub_sources()
        for found in imports_of(path)
        if not found.level and found.library not in HUB_LIBRARIES
    ]
    assert not wrong, list(map(str, wrong))


def test_hub_files_import_at_the_top_only():
    # transformers asks every user for a library that a function or an `if TYPE_CHECKING` imports.
    for path in hub_sources():
        top = {id(node) for node in parsed(path).body}
        inner = [node.lineno for node in ast.walk(parsed(path))
                 if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in top]  # fmt: skip
        assert not inner, f"{path.name}: {inner}"


def test_hub_files_have_no_text_that_looks_like_a_relative_import():
    # transformers finds relative imports by their text: a line of a docstring counts.
    for path in hub_sources():
        imports = {node.lineno for node in ast.walk(parsed(path)) if isinstance(node, ast.ImportFrom)}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not line.strip().startswith(("from .", "import .")) or number in imports, f"{path.name}:{number}"


def test_only_the_command_line_imports_training_and_only_when_it_needs_it():
    wrong = [
        found
        for found in imports_in("modeling_langcell", "hub_cards", "processing")
        if found.is_of("langcell.training") and not (found.lazy and found.file.stem.startswith("cli"))
    ]
    assert not wrong, list(map(str, wrong))


def test_the_model_imports_cards_only_when_it_writes_or_checks_a_folder():
    may = {"convert", "converted_folder", "verify"}
    wrong = [
        found
        for found in imports_in("modeling_langcell")
        if found.is_of("langcell.hub_cards")
        and not (found.lazy and (found.file.stem in may or found.file.stem.startswith("cli")))
    ]
    assert not wrong, list(map(str, wrong))


def test_anndata_is_read_and_written_in_one_place():
    # Two more may name the AnnData class, which they take from a user or hand to one.
    may = {"processing/cells/anndata_io.py"}
    may_name_the_class = {
        "modeling_langcell/inference/annotation.py",
        "modeling_langcell/inference/classification.py",
        "modeling_langcell/cli/demo.py",
    }
    for found in imports_in("processing", "modeling_langcell"):
        if found.library == "anndata":
            place = found.file.relative_to(ROOT).as_posix()
            assert place in may | may_name_the_class, str(found)
            if place in may_name_the_class:
                names = [alias.name for node in ast.walk(parsed(found.file))
                         if isinstance(node, ast.ImportFrom) and node.module == "anndata"
                         for alias in node.names]  # fmt: skip
                assert names == ["AnnData"], str(found)


@pytest.mark.parametrize("folder", ["modeling_langcell", "training", "hub_cards"])
def test_files_that_are_no_hub_files_import_absolutely(folder):
    # Scripts run by path have no parent package: a relative import would fail there.
    wrong = [found for found in imports_in(folder) if found.level and found.file.stem not in HUB_FILES]
    assert not wrong, list(map(str, wrong))


# Packages and names


def test_every_package_of_pyproject_is_a_folder_and_every_folder_is_listed():
    assert not [str(folder) for folder in PACKAGES.values() if not (folder / "__init__.py").is_file()]
    folders = {path.parent for path in source_files(*FOLDERS)}
    assert folders == set(PACKAGES.values())


def test_no_module_carries_the_name_of_a_library():
    # `accelerate launch training/x.py` puts training/ first on the path: training/datasets.py would replace `datasets`.
    libraries = {name for name in packages_distributions() if name != "langcell"} | sys.stdlib_module_names
    names = {path.stem for path in source_files(*FOLDERS) if path.name != "__init__.py"}
    names |= {folder.name for folder in PACKAGES.values()}
    assert not names & libraries


# Files


@pytest.mark.parametrize("folder", [*FOLDERS, "benchmarks"])
def test_files_stay_short(folder):
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in source_files(folder)}
    too_long = {name: lines for name, lines in lengths.items() if lines > MOST_LINES and name not in LONGER_FILES}
    assert not too_long, f"at most {MOST_LINES} lines a file"
    # An exception that is not needed any more would hide the next long file.
    assert all(lengths[name] > MOST_LINES for name in LONGER_FILES if name.startswith(f"{folder}/"))


def test_every_source_file_has_a_test_file():
    tests = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    without = []
    for path in source_files(*FOLDERS):
        name = path.relative_to(ROOT).as_posix()
        # training/objectives/gather.py may be tested by test_gather.py or, said more clearly, test_objectives_gather.py
        named = {f"test_{path.stem}", f"test_{path.parent.name}_{path.stem}"} & tests
        if path.name != "__init__.py" and not named and name not in TESTED_ELSEWHERE:
            without.append(name)
    assert not without


def test_the_exceptions_are_still_needed():
    tests = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    for name, place in TESTED_ELSEWHERE.items():
        assert (ROOT / name).is_file(), name
        assert f"test_{Path(name).stem}" not in tests, name
        assert (ROOT / "tests" / place).is_file(), place
