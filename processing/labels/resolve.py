"""Labels: what a user types or keeps in a file, resolved to a name, a text and, where known, an ontology term."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from langcell.processing.labels.lookup import Label, look_up, term_at
from langcell.processing.labels.splitting import split_labels
from langcell.processing.labels.syntax import LabelEntry, line_entries, read_entries
from langcell.processing.labels.together import resolve_entries
from langcell.processing.ontology.terms import Ontology

__all__ = [
    "Label",
    "labels_under",
    "read_labels",
    "read_queries",
    "resolve_labels",
    "resolve_query",
    "typed_labels",
]


def resolve_labels(
    labels: Sequence[str] | Mapping[str, str] | Sequence[Label],
    *,
    ontology: Ontology | None = None,
    tissue: str | None = None,
    accept_suggestions: bool = False,
) -> list[Label]:
    """Turn labels into names with texts, in the order given.

    A name that means several types ("HSC") is read by what is around it: the other labels, and the tissue.

    Args:
        labels: names, synonyms or ontology ids, and names as laboratories shorten them, as long as no two labels mean
            the same term then; a mapping from label to its text, or to an ontology id whose text is taken; or
            finished labels, which are only checked.
        ontology: where names are looked up; by default the bundled Cell Ontology.
        tissue: where the cells are from, in words.
        accept_suggestions: read each label that is left as it is as the term that its name is nearest to, where
            `suggest.suggest` knows one.

    Raises:
        ValueError: fewer than two labels, an empty name or text, duplicate names (case, blanks and underscores do not
            count), labels with the same text, or an ontology id that is unknown or obsolete without a successor.

    >>> for label in resolve_labels(["NK cell", "CL:0000236", "CD14+ Mono", "My odd cells"]):
    ...     print(label.name, label.ontology_term_id, label.match, label.text[:40].strip(), sep=" | ")
    NK cell | CL:0000623 | synonym | cell type: natural killer cell. a lympho
    B cell | CL:0000236 | id | cell type: b cell. a lymphocyte of b lin
    CD14+ Mono | CL:0001054 | table | cell type: cd14-positive monocyte. a mon
    My odd cells | None | None | cell type: my odd cells;
    """
    ontology = ontology or Ontology.cellxgene()
    if isinstance(labels, str):
        raise ValueError(f"Labels are one string. Give a list: {split_labels(labels, ontology=ontology)!r}.")
    if isinstance(labels, Mapping):
        entries = [LabelEntry(name, text) for name, text in labels.items()]
    else:
        entries = [label if isinstance(label, Label) else LabelEntry(label) for label in labels]
    return resolve_entries(entries, ontology, tissue=tissue, accept_suggestions=accept_suggestions)


def labels_under(root: str, *, among: Iterable[str], ontology: Ontology) -> list[Label]:
    """Return the labels for a term and all terms below it, as far as they are in `among`, sorted by id.

    Args:
        root: the term at the top, by id, such as CL:0000542, or by name, such as lymphocyte.
        among: ontology ids to choose from, such as the types that a model was trained on. An obsolete id counts as
            its successor; ids that the ontology does not have are below nothing.
        ontology: where the terms below are looked up.

    Raises:
        ValueError: `root` is unknown or obsolete, or fewer than two terms are left.
    """
    top = term_at(root, ontology)
    candidates = {ontology.current(term_id).id for term_id in among if term_id in ontology}
    ids = sorted(candidates & (ontology.descendants(top.id) | {top.id}))
    if len(ids) < 2:
        found = f"only {ids[0]} ({ontology.term(ids[0]).name})" if ids else "none"
        raise ValueError(
            f"Of the {len(candidates)} types to choose from, {found} is {top.id} ({top.name}) or below it; naming "
            "needs at least two labels. Give a term higher up, or list the labels."
        )
    return resolve_labels(ids, ontology=ontology)


def typed_labels(text: str, *, ontology: Ontology | None = None) -> list[Label]:
    """Resolve labels that somebody typed: one a line, or several in a line as `split_labels` has them, or label, tab,
    text.

    Raises:
        ValueError: a line is malformed, or see `resolve_labels`.

    >>> for label in typed_labels("NK cell, B cell\\nmine\\ta cell of mine"):
    ...     print(label.name, label.match, label.text[:24], sep=" | ")
    NK cell | synonym | cell type: natural kille
    B cell | name | cell type: b cell. a lym
    mine | given | a cell of mine
    """
    ontology, entries = ontology or Ontology.cellxgene(), []
    for entry in line_entries(text, "Labels"):
        names = [entry.name] if entry.text is not None else split_labels(entry.name, ontology=ontology)
        entries += [LabelEntry(name, entry.text) for name in names]
    return resolve_entries(entries, ontology)


def read_labels(
    path: str | Path, *, ontology: Ontology | None = None, tissue: str | None = None, accept_suggestions: bool = False
) -> list[Label]:
    """Read the labels in a file and resolve them, in the order of the file.

    - `.txt`, `.tsv` or no suffix: one label a line, or label, tab, text. Blank lines, lines that start with `#`, and a
      first line `label<TAB>text` are skipped.
    - `.json`: a list of labels, `["B cell", "CL:0000623"]`; an object from label to text, to ontology id, or to null,
      `{"my B cells": "Cells that make antibodies.", "my NK": "CL:0000623", "T cell": null}`; or a list of objects with
      `name` and, as needed, `text` and `ontology_term_id`. Null counts as left out: the label is looked up by its name.

    A text that looks like an ontology id (`CL:0000623`) is one, in each of these. For `tissue` and `accept_suggestions`
    see `resolve_labels`.

    Raises:
        ValueError: the file cannot be read or is malformed (the line is named), or see `resolve_labels`.
    """
    entries = read_entries(Path(path))
    ontology = ontology or Ontology.cellxgene()
    try:
        return resolve_entries(entries, ontology, tissue=tissue, accept_suggestions=accept_suggestions)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def resolve_query(text: str, *, ontology: Ontology | None = None) -> Label:
    """Turn what a user looks for into a text: a label that the Cell Ontology knows, else the sentence as it is.

    Raises:
        ValueError: empty text, or an ontology id that is unknown or obsolete.

    >>> resolve_query("NK cell").text[:36], resolve_query("A cell that makes antibodies.").text
    ('cell type: natural killer cell. a ly', 'A cell that makes antibodies.')
    """
    label = look_up(LabelEntry(text), ontology or Ontology.cellxgene())
    return label if label.match else Label(label.name, label.name, match="given")


def read_queries(path: str | Path, *, ontology: Ontology | None = None) -> list[Label]:
    """Read a file as `read_labels` does, each of its entries a query: one is enough, and sentences stay as they are.

    Raises:
        ValueError: the file cannot be read, is malformed or holds no query, or see `resolve_query`.
    """
    ontology = ontology or Ontology.cellxgene()
    entries = read_entries(Path(path))
    if not entries:
        raise ValueError(f"{path}: it holds no text. Write one a line.")
    plain = [entry.text is None and entry.ontology_term_id is None for entry in entries]
    return [
        resolve_query(entry.name, ontology=ontology) if is_plain else look_up(entry, ontology)
        for entry, is_plain in zip(entries, plain, strict=True)
    ]
