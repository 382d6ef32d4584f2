"""What a report says of its labels: which columns gave them, and what each type was read as.

One rule for every task, `evaluate all` included: types are the values of the label column; their texts come from the
labels file, else from the column of ontology ids, else from the Cell Ontology by name (diseases: MONDO). A column of
ids is read only where it is named: a user who annotates has names alone, and ids would measure what the user cannot do.
Where the file has such a column that was not named, the report says so.
"""

from collections.abc import Mapping
from typing import Any

from langcell.training.evaluation.reports.pages import Section, Table

_BARE = "bare name"
_HOW = {
    "id": "its ontology id",
    "name": "the name of a term",
    "synonym": "a synonym of a term",
    "table": "a name that the field uses",
    "shorthand": "a term's name, shortened",
}


def label_section(report: Mapping[str, Any], *, reads_texts: bool) -> Section:
    """Return which columns gave labels and texts, and each type with what it was read as.

    Args:
        report: report of a task; without "labels" where the task has none.
        reads_texts: whether the model reads texts in this task.
    """
    if "labels" not in report:
        return Section("Labels", "No column of labels and no text was read.")
    data, labels = report["data"], report["labels"]
    parts = [f"Labels: the {len(labels)} values in obs[{data['label_column']!r}].", _origin(data)]
    if "candidates" in report:
        parts[0] = (
            f"Labels: {report['candidates']} types of the model's training; after them true types of "
            f"obs[{data['label_column']!r}] that are none of these."
        )
    elif data.get("labels_file"):
        parts[0] = f"Labels: the {len(labels)} in {data['labels_file']}; true types: obs[{data['label_column']!r}]."
    if not reads_texts:
        parts.append("In this task the model reads no texts; terms are for ontology-aware scores.")
    if unread := data.get("unread_ids_column"):
        parts.append(
            f"obs[{unread!r}] has one ontology id for each type and was not read; --label-ids-column {unread} takes "
            "terms and texts from it."
        )
    if bare := sum(label["ontology_term_id"] is None and label["match"] is None for label in labels):
        parts.append(f"{bare} of {len(labels)} have no term and are read as the {_BARE}.")
    head = ("type", "read as", "found by", *(("text",) if reads_texts else ()), "cells")
    rows = [
        (
            label["name"],
            _read_as(label),
            _HOW.get(label["match"], "the labels file" if label["match"] == "given" else "–"),
            *((label["text"].strip(),) if reads_texts else ()),
            f"{label['support']:,}",
        )
        for label in labels
    ]
    return Section("Labels", " ".join(parts), Table(head, rows, left=len(head) - 1))


def _origin(data: Mapping[str, Any]) -> str:
    """Return where terms and texts come from."""
    ids = data["label_ids_column"]
    if data.get("labels_file"):
        return f"Texts: {data['labels_file']}." + (f" Ontology ids: obs[{ids!r}]." if ids else "")
    if ids:
        return f"Texts: the ontology's, by the ids in obs[{ids!r}]."
    return f"Texts: those of {data['names_searched_in']}, by the names in that column; no column of ids was read."


def _read_as(label: Mapping[str, Any]) -> str:
    term_id = label["ontology_term_id"]
    if term_id is None:
        return {"given": "text of its own", None: _BARE}.get(label["match"], "several terms")
    named = f"{label['term']} ({term_id})" if label["term"] else term_id
    return f"text of its own, for {named}" if label["match"] == "given" else named
