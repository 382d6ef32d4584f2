"""The Python files of the four floors."""

import ast
from pathlib import Path

from places import ROOT

FLOORS = ("modeling_langcell", "processing", "training", "hub_cards")
BUNDLED_MODEL = ROOT / "hub_cards" / "langcell-mini"


def source_files(*folders: str) -> list[Path]:
    """Python files of the floors, without the links in the bundled model."""
    files = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [path for path in files if BUNDLED_MODEL not in path.parents]


def place_of(path: Path, node: ast.stmt) -> str:
    """File and line of a statement."""
    return f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"
