"""Evidence of labels as HTML: a block that opens per label, from what `langcell.explain(...).record()` holds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

# Genes of a list that a page shows.
MOST_GENES = 10
# Labels of a report that are open at once; with more the page would be of many screens.
_MOST_OPEN = 3


def evidence_blocks(record: Mapping[str, Any], *, most_open: int | None = None) -> dict[str, Markup]:
    """Return one `<details>` element per group, by the group's name; strong conflicts stand out.

    Args:
        record: what `Explanation.record()` returned, or what --json printed.
        most_open: groups with strong conflicts are open already, unless more than this number have any; None for no
            limit.

    >>> blocks = evidence_blocks({"groups": [], "strong_conflict": 0.8})
    >>> blocks
    {}
    """
    template = _environment().get_template("evidence.html.jinja")
    strong = float(record["strong_conflict"])
    groups = [shown_group(group, strong=strong) for group in record["groups"]]
    n_strong = sum(bool(group["n_strong"]) for group in groups)
    opens = most_open is None or n_strong <= most_open
    return {
        str(group["group"]): Markup(
            template.render(group=group, most=MOST_GENES, opens=opens and bool(group["n_strong"]))
        )
        for group in groups
    }


def read_evidence(path: str | Path) -> dict[str, Any]:
    """Read what `langcell explain --json` printed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: no JSON ({error}); give what langcell explain --json printed.") from error
    if not isinstance(record, dict) or not {"groups", "strong_conflict"} <= set(record):
        raise ValueError(f"{path}: no evidence of labels; give what langcell explain --json printed, without --cell.")
    return record


def evidence_section(record: Mapping[str, Any] | None) -> Markup:
    """Return all blocks under one heading, for the report; empty without evidence."""
    if not record or not record["groups"]:
        return Markup("")
    heading = Markup("<h2>Genes for and against each label</h2>")
    return heading + Markup("\n").join(evidence_blocks(record, most_open=_MOST_OPEN).values())


def shown_group(group: Mapping[str, Any], *, strong: float) -> dict[str, Any]:
    """Return a group with its strong conflicts first among those shown, each marked."""
    conflicts = [{**gene, "strong": gene["strength"] >= strong} for gene in group["conflicting"]]
    return {**group, "conflicting": conflicts, "n_strong": sum(gene["strong"] for gene in conflicts)}


def genes_in_words(genes: Sequence[Mapping[str, Any]]) -> str:
    """Return the first genes of a list in one line."""
    return ", ".join(str(gene["gene"]) for gene in genes[:MOST_GENES])


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("langcell.reporting", "."), autoescape=select_autoescape(default=True), trim_blocks=True
    )
