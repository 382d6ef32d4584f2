"""What an audit found, as a folder: `audit.csv`, `audit.json`, and `audit.html`, which opens without a network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from langcell.processing.files.atomic_output import atomic_output
from langcell.reporting.evidence import evidence_blocks

_NAMES = ("audit.csv", "audit.json", "audit.html")


class AuditResult(Protocol):
    """What `langcell.audit` returns, as far as it is written."""

    def frame(self) -> pd.DataFrame:
        """Return one row per label."""
        ...

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        ...


def write_audit(found: AuditResult, folder: str | Path, *, data_name: str = "") -> list[Path]:
    """Write what an audit found: a table, JSON, and a page.

    Args:
        found: what `langcell.audit` returned.
        folder: where to; made where it is missing.
        data_name: what the page calls the data.

    Returns:
        The three files.

    Raises:
        ValueError: the folder is a file.
        OSError: it cannot be written.
    """
    folder = check_audit_folder(folder)
    folder.mkdir(exist_ok=True)
    record = found.record()
    contents = (
        found.frame().to_csv(index=False),
        json.dumps(record, indent=2) + "\n",
        audit_page(record, data_name=data_name),
    )
    paths = [folder / name for name in _NAMES]
    for path, text in zip(paths, contents, strict=True):
        with atomic_output(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return paths


def check_audit_folder(folder: str | Path) -> Path:
    """Return the folder, if an audit can be written there.

    Raises:
        ValueError: it is a file, or its own folder does not exist.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder for the results of the audit.")
    if not folder.resolve().parent.is_dir():
        raise ValueError(f"Cannot make {folder}: the folder {folder.parent} does not exist; create it first.")
    return folder


def audit_page(record: Mapping[str, Any], *, data_name: str = "") -> str:
    """Return the page as text; the same record gives the same page."""
    environment = Environment(
        loader=PackageLoader("langcell.reporting", "."), autoescape=select_autoescape(default=True), trim_blocks=True
    )
    strong = record["strong_conflict"]
    return environment.get_template("audit.html.jinja").render(
        audit=record,
        data_name=data_name,
        blocks=[_blocks(group, strong) for group in record["groups"]],
    )


def _blocks(group: Mapping[str, Any], strong: float) -> Markup:
    """Genes of the label, and of what the cells are called instead."""
    shown = [evidence for evidence in (group["evidence"], group["evidence_called"]) if evidence]
    return Markup("\n").join(
        block
        for evidence in shown
        for block in evidence_blocks(
            {"strong_conflict": strong, "groups": [{**evidence, "group": f"as {evidence['label']}", "label": ""}]}
        ).values()
    )
