"""Labels: what a user types or keeps in a file, resolved to a name, a text and, where known, an ontology term."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .descriptions import describe_term
from .ontology import Ontology, Term, looks_like_id, normalize_name

LabelMatch = Literal["id", "name", "synonym", "given"]

_FIELD = re.compile(r'\s*(?:"(?P<quoted>(?:[^"]|"")*)"\s*|(?P<plain>[^",][^,]*)?)(?:,|$)')
_OBJECT_KEYS = ("name", "text", "ontology_term_id")
# Words before the aspect under which a term of another ontology is described.
_ASPECT_OF_PREFIX = {
    "UBERON": "tissue",
    "HsapDv": "development stage",
    "MmusDv": "development stage",
    "MONDO": "disease",
    "HANCESTRO": "self-reported ethnicity",
    "EFO": "assay",
}


@dataclass(frozen=True)
class Label:
    """A candidate class.

    Attributes:
        name: what results are called by: as the user typed it, or the name of the term for an id.
        text: what the text encoder reads.
        ontology_term_id: the term behind it, None where no term was found.
        match: how the text came about: from a term found by its "id", "name" or "synonym", or "given" by the user.
            None: the name is used as it is, without a definition.
    """

    name: str
    text: str
    ontology_term_id: str | None = None
    match: LabelMatch | None = None


def resolve_labels(
    labels: Sequence[str] | Mapping[str, str] | Sequence[Label], *, ontology: Ontology | None = None
) -> list[Label]:
    """Turn labels into names with texts, in the order given.

    Args:
        labels: names, synonyms or ontology ids; or a mapping from label to its text; or labels made before.
        ontology: where names are looked up; by default the bundled Cell Ontology.

    Raises:
        ValueError: fewer than two labels, an empty name or text, duplicate names (case, blanks and underscores do not
            count), two labels with the same text, or an ontology id that is unknown or obsolete.

    >>> for label in resolve_labels(["NK cell", "CL:0000236", "My odd cells"]):
    ...     print(label.name, label.ontology_term_id, label.match, label.text[:40], sep=" | ")
    NK cell | CL:0000623 | synonym | cell type: natural killer cell. a lympho
    B cell | CL:0000236 | id | cell type: b cell. a lymphocyte of b lin
    My odd cells | None | None | cell type: my odd cells; 
    """
    ontology = ontology or Ontology.cellxgene()
    if isinstance(labels, str):
        raise ValueError(f"Labels are one string, {labels!r}. Give a list, for example split_labels({labels!r}).")
    if isinstance(labels, Mapping):
        resolved = [_with_text(name, text, ontology=ontology) for name, text in labels.items()]
    else:
        resolved = [label if isinstance(label, Label) else _resolve(label, ontology=ontology) for label in labels]
    _check(resolved)
    return resolved


def labels_under(root_id: str, *, among: Iterable[str], ontology: Ontology) -> list[Label]:
    """The labels for a term and all terms below it, as far as they are in `among`, sorted by id.

    Args:
        root_id: ontology id at the top, such as CL:0000842.
        among: ontology ids to choose from, such as the types a model was trained on; obsolete ones count as their
            successors.
        ontology: where the terms below are looked up.

    Raises:
        ValueError: `root_id` is unknown or obsolete, or fewer than two terms are left.
    """
    root = _usable_term(root_id, ontology=ontology)
    candidates = {ontology.current(term_id).id for term_id in among if term_id in ontology}
    ids = sorted(candidates & (ontology.descendants(root.id) | {root.id}))
    if len(ids) < 2:
        found = f"only {ids[0]}" if ids else "none"
        raise ValueError(
            f"Of the {len(candidates)} types to choose from, {found} is {root.id} ({root.name}) or below it, and naming "
            "needs at least two labels. Give a term higher up, or list the labels."
        )
    return resolve_labels(ids, ontology=ontology)


def split_labels(text: str, *, ontology: Ontology | None = None) -> list[str]:
    """Split labels at commas, but not inside names that have commas themselves.

    A label in double quotes is taken as it stands. Of the other pieces, the longest runs that form the name or a synonym
    of a term are joined again.

    Raises:
        ValueError: quotes that do not close, or an empty name.

    >>> split_labels('NK cell, CD4-positive, alpha-beta T cell, "B cell", CD19-positive')
    ['NK cell', 'CD4-positive, alpha-beta T cell', 'B cell', 'CD19-positive']
    """
    ontology = ontology or Ontology.cellxgene()
    pieces = _csv_fields(text)
    labels, start = [], 0
    while start < len(pieces):
        end = start + 1
        for stop in range(_end_of_plain_run(pieces, start), start + 1, -1):
            if _find(", ".join(piece for piece, _ in pieces[start:stop]), ontology=ontology):
                end = stop
                break
        labels.append(", ".join(piece for piece, _ in pieces[start:end]))
        start = end
    return labels


def read_labels(path: str | Path, *, ontology: Ontology | None = None) -> list[Label]:
    """Read and resolve the labels in a file.

    - `.txt`, `.tsv` or no suffix: one label a line, or label, tab, text. Blank lines, lines that start with `#` and a
      first line `label<TAB>text` are skipped.
    - `.json`: a list of labels, an object `{label: text}`, or a list of objects with `name` and, as needed, `text` and
      `ontology_term_id`.

    Raises:
        ValueError: the file cannot be read or is malformed (the line is named), or see `resolve_labels`.
    """
    path = Path(path)
    readers = {".json": _json_entries, ".txt": _line_entries, ".tsv": _line_entries, "": _line_entries}
    if path.suffix.lower() not in readers:
        raise ValueError(f"Cannot read labels from {path}: unknown suffix {path.suffix!r}. Use .txt, .tsv or .json.")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"Cannot read labels from {path}: {error}. Give a text file in UTF-8.") from error
    ontology = ontology or Ontology.cellxgene()
    try:
        return resolve_labels([_from_entry(e, ontology=ontology) for e in readers[path.suffix.lower()](content)])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
