"""How labels are written: command-line text and files, read into plain entries. Nothing is looked up here."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FIELD = re.compile(r'\s*(?:"(?P<quoted>(?:[^"]|"")*)"|(?P<plain>[^",][^,]*|))\s*(?P<end>,|$)')
_ENTRY_KEYS = ("name", "text", "ontology_term_id")


@dataclass(frozen=True)
class LabelEntry:
    """One label as written; what was left out is None. A text may be an ontology id (`label_lookup.look_up`)."""

    name: str
    text: str | None = None
    ontology_term_id: str | None = None


@dataclass(frozen=True)
class Field:
    """One field of comma-separated text."""

    text: str
    quoted: bool


def split_fields(text: str) -> list[Field]:
    """Split at commas; a field in double quotes may hold commas, and "" for a quote.

    The `csv` module does the same but forgets which fields were quoted.

    Raises:
        ValueError: a quote that does not close, or an empty field.

    >>> [field.text for field in split_fields('NK cell, "a, b"')]
    ['NK cell', 'a, b']
    """
    fields, position, more = [], 0, True
    while more:
        match = _FIELD.match(text, position)
        if match is None:
            raise ValueError(f"Labels {text!r}: a double quote is not closed before a comma or the end. Close it.")
        quoted = match["quoted"] is not None
        value = match["quoted"].replace('""', '"').strip() if quoted else match["plain"].strip()
        if not value:
            raise ValueError(f"Labels {text!r}: label {len(fields) + 1} is empty. Remove the extra comma.")
        fields.append(Field(value, quoted))
        position, more = match.end(), match["end"] == ","
    return fields


def read_entries(path: Path) -> list[LabelEntry]:
    """Read a `.txt` or `.tsv` file (or one without suffix) by lines, or a `.json` file; see `labels.read_labels`.

    Raises:
        ValueError: the suffix is unknown, or the file cannot be read or is malformed; the line is named.
    """
    suffix = path.suffix.lower()
    if suffix not in (".json", ".txt", ".tsv", ""):
        raise ValueError(f"Cannot read labels from {path}: unknown suffix {path.suffix!r}. Use .txt, .tsv or .json.")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"Cannot read labels from {path}: {error}. Give a text file in UTF-8.") from error
    return list(_json_entries(content, path) if suffix == ".json" else line_entries(content, path))


def line_entries(content: str, where: str | Path) -> Iterator[LabelEntry]:
    """Yield the labels, one a line, or label, tab, text; blank lines and lines that start with `#` are skipped.

    Raises:
        ValueError: a line has more than one tab, or nothing on one side of it; `where` and the line are named.
    """
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#") or (number == 1 and line == "label\ttext"):
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) > 2 or "" in columns:
            raise ValueError(f"{where}, line {number}: {line!r}. Expected a label, or a label, one tab and its text.")
        yield LabelEntry(*columns)


def _json_entries(content: str, path: Path) -> Iterator[LabelEntry]:
    try:
        data = json.loads(content, object_pairs_hook=_unique_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not valid JSON ({error.msg}, column {error.colno}).") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if isinstance(data, dict):
        data = [{"name": name, "text": text} for name, text in data.items()]
    if not isinstance(data, list):
        raise ValueError(
            f"{path}: found a JSON {type(data).__name__}. Expected a list of labels, or an object from label to text, "
            "ontology id or null."
        )
    for number, item in enumerate(data, start=1):
        item = {"name": item} if isinstance(item, str) else item
        if not _is_entry(item):
            raise ValueError(
                f"{path}: label {number} is {json.dumps(item)}. Expected text, or an object with name and, as needed, "
                "text and ontology_term_id, none of them empty."
            )
        yield LabelEntry(**item)


def _is_entry(item: Any) -> bool:
    if not isinstance(item, dict) or "name" not in item or not set(item) <= set(_ENTRY_KEYS):
        return False
    written = [item["name"], *(item[key] for key in _ENTRY_KEYS[1:] if item.get(key) is not None)]
    return all(isinstance(value, str) and value.strip() for value in written)


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; `json` alone would keep the last of two equal keys without a word."""
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"duplicate key {next(name for name in names if names.count(name) > 1)!r}. Keep one of them.")
    return result
