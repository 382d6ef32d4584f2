"""Labels: what a user types or keeps in a file, resolved to a name, a text and, where known, an ontology term."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .descriptions import describe_term
from .label_syntax import LabelEntry, line_entries, read_entries, split_fields
from .ontology import MatchKind, Ontology, Term, looks_like_id, normalize_name

LabelMatch = Literal["id", "name", "synonym", "shorthand", "given"]

# The aspect that a term is described under, by id or by the prefix of the id. All others are cell types.
_ASPECT_OF = {
    "UBERON": "tissue",
    "HsapDv": "development stage",
    "MmusDv": "development stage",
    "MONDO": "disease",
    "PATO:0000461": "disease",  # "normal", the disease of healthy cells in CELLxGENE
    "PATO": "sex",
    "HANCESTRO": "self-reported ethnicity",
    "EFO": "assay",
}
# Bounds what `split_labels` tries to join; names and synonyms in the bundled Cell Ontology have at most 4.
_MAX_COMMAS = 8


@dataclass(frozen=True)
class Label:
    """A candidate class.

    Attributes:
        name: what results call it: the name as the user typed it; for an id, the name of its term.
        text: what the text encoder reads.
        ontology_term_id: the term behind it, None where none was found.
        match: where the text comes from: a term found by its "id", "name" or "synonym", or by a "shorthand" of its name
            ("Naive CD4 T"), or "given" by the user. None: the name is used as it is, without a definition.
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
        labels: names, synonyms or ontology ids, and names as laboratories shorten them, as long as no two labels mean
            the same term then; a mapping from label to its text; or finished labels, which are only
            checked.
        ontology: where names are looked up; by default the bundled Cell Ontology.

    Raises:
        ValueError: fewer than two labels, an empty name or text, duplicate names (case, blanks and underscores do not
            count), two labels with the same text, or an ontology id that is unknown or obsolete.

    >>> for label in resolve_labels(["NK cell", "CL:0000236", "CD14+ Mono", "My odd cells"]):
    ...     print(label.name, label.ontology_term_id, label.match, label.text[:40].strip(), sep=" | ")
    NK cell | CL:0000623 | synonym | cell type: natural killer cell. a lympho
    B cell | CL:0000236 | id | cell type: b cell. a lymphocyte of b lin
    CD14+ Mono | CL:0001054 | shorthand | cell type: cd14-positive monocyte. a mon
    My odd cells | None | None | cell type: my odd cells;
    """
    ontology = ontology or Ontology.cellxgene()
    if isinstance(labels, str):
        raise ValueError(f"Labels are one string. Give a list: {split_labels(labels, ontology=ontology)!r}.")
    if isinstance(labels, Mapping):
        return _resolve_together([LabelEntry(name, text) for name, text in labels.items()], ontology)
    return _resolve_together(
        [label if isinstance(label, Label) else LabelEntry(label) for label in labels],
        ontology,
    )


def label_notes(labels: Iterable[Label]) -> list[str]:
    """Lines on the labels whose texts somebody might want to look at: shorthands, and names without a term.

    >>> for note in label_notes(resolve_labels(["NK cell", "CD14+ Mono", "My odd cells"])):
    ...     print(note)
    Read as terms of the Cell Ontology: CD14+ Mono as CD14-positive monocyte (CL:0001054)
    Not in the Cell Ontology, used as they are: My odd cells
    """
    labels, notes = list(labels), []
    read = [(label.name, label.ontology_term_id) for label in labels if label.match == "shorthand"]
    if read:
        term_of = {term_id: Ontology.cellxgene().term(term_id) for _, term_id in read if term_id}
        listed = ", ".join(f"{name} as {term_of[id_].name} ({id_})" for name, id_ in read if id_)
        notes.append(f"Read as terms of the Cell Ontology: {listed}")
    if plain := [label.name for label in labels if label.match is None]:
        notes.append(f"Not in the Cell Ontology, used as they are: {', '.join(plain)}")
    return notes


def labels_under(root: str, *, among: Iterable[str], ontology: Ontology) -> list[Label]:
    """The labels for a term and all terms below it, as far as they are in `among`, sorted by id.

    Args:
        root: the term at the top, by id, such as CL:0000542, or by name, such as lymphocyte.
        among: ontology ids to choose from, such as the types that a model was trained on. An obsolete id counts as
            its successor; ids that the ontology does not have are below nothing.
        ontology: where the terms below are looked up.

    Raises:
        ValueError: `root` is unknown or obsolete, or fewer than two terms are left.
    """
    top = _term_at(root, ontology)
    candidates = {ontology.current(term_id).id for term_id in among if term_id in ontology}
    ids = sorted(candidates & (ontology.descendants(top.id) | {top.id}))
    if len(ids) < 2:
        found = f"only {ids[0]} ({ontology.term(ids[0]).name})" if ids else "none"
        raise ValueError(
            f"Of the {len(candidates)} types to choose from, {found} is {top.id} ({top.name}) or below it; naming "
            "needs at least two labels. Give a term higher up, or list the labels."
        )
    return resolve_labels(ids, ontology=ontology)


def split_labels(text: str, *, ontology: Ontology | None = None) -> list[str]:
    """Split labels at commas, but not inside names that have commas themselves.

    A label in double quotes is taken as it stands. Of the other pieces, from the left, the longest run that makes the
    name or a synonym of a term is one label.

    Raises:
        ValueError: a quote that does not close, or an empty label.

    >>> split_labels('NK cell, CD4-positive, alpha-beta T cell, "B cell", CD19-positive')
    ['NK cell', 'CD4-positive, alpha-beta T cell', 'B cell', 'CD19-positive']
    """
    ontology = ontology or Ontology.cellxgene()
    fields = split_fields(text)
    labels = []
    while fields:
        unquoted = next((i for i, field in enumerate(fields) if field.quoted), len(fields))
        joined = [", ".join(field.text for field in fields[:n]) for n in range(1, min(unquoted, _MAX_COMMAS + 1) + 1)]
        known = (n for n in range(len(joined), 1, -1) if _find(joined[n - 1], ontology))
        taken = next(known, 1)
        labels.append(joined[taken - 1] if joined else fields[0].text)
        fields = fields[taken:]
    return labels


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
    return _resolve_together(entries, ontology)


def read_labels(path: str | Path, *, ontology: Ontology | None = None) -> list[Label]:
    """Read the labels in a file and resolve them, in the order of the file.

    - `.txt`, `.tsv` or no suffix: one label a line, or label, tab, text. Blank lines, lines that start with `#`, and a
      first line `label<TAB>text` are skipped.
    - `.json`: a list of labels, an object `{label: text}`, or a list of objects with `name` and, as needed, `text` and
      `ontology_term_id`; null counts as left out.

    Raises:
        ValueError: the file cannot be read or is malformed (the line is named), or see `resolve_labels`.
    """
    entries = read_entries(Path(path))
    ontology = ontology or Ontology.cellxgene()
    try:
        return _resolve_together(entries, ontology)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def resolve_query(text: str, *, ontology: Ontology | None = None) -> Label:
    """Turn what a user looks for into a text: a label that the Cell Ontology knows, else the sentence as it is.

    Raises:
        ValueError: empty text, or an ontology id that is unknown or obsolete.

    >>> resolve_query("NK cell").text[:36], resolve_query("A cell that makes antibodies.").text
    ('cell type: natural killer cell. a ly', 'A cell that makes antibodies.')
    """
    label = _resolve(LabelEntry(text), ontology or Ontology.cellxgene())
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
        resolve_query(entry.name, ontology=ontology) if is_plain else _resolve(entry, ontology)
        for entry, is_plain in zip(entries, plain, strict=True)
    ]


def _resolve_together(entries: Sequence[LabelEntry | Label], ontology: Ontology) -> list[Label]:
    """Look labels up; shorthands that mean what another label means stay as they are, so that no two share a text."""
    labels = [entry if isinstance(entry, Label) else _resolve(entry, ontology) for entry in entries]
    meant = Counter(label.ontology_term_id for label in labels)
    shared = [label.match == "shorthand" and meant[label.ontology_term_id] > 1 for label in labels]
    plain = [_plain(label.name) if is_shared else label for label, is_shared in zip(labels, shared, strict=True)]
    return _checked(plain)


def _plain(name: str) -> Label:
    return Label(name, describe_term("cell type", name))


def _resolve(entry: LabelEntry, ontology: Ontology) -> Label:
    """Look one label up: by its id, else by its name, else as shorthand; a text that was given is kept."""
    if not isinstance(entry.name, str):
        raise ValueError(f"Label {entry.name!r} is not text. Give names or ontology ids as strings.")
    name, term, match = entry.name.strip(), None, None
    if entry.ontology_term_id is not None:
        term, match = _usable_term(entry.ontology_term_id, ontology), "id"
    elif looks_like_id(name):
        term, match = _usable_term(name, ontology), "id"
        name = term.name
    elif found := _find(name, ontology):
        term, match = found
    elif entry.text is None and "CL" in ontology.prefixes and (read := ontology.find_shorthand(name)):
        term, match = read, "shorthand"
    term_id = term.id if term else None
    if entry.text is not None:
        return Label(name, entry.text, term_id, "given")
    if not name:
        raise ValueError("A label is empty. Give each label a name.")
    return Label(name, describe_term(_aspect(term), term or name), term_id, match)


def _find(name: str, ontology: Ontology) -> tuple[Term, MatchKind] | None:
    """Look among cell types; in a file without Cell Ontology terms, among all of its terms."""
    prefixes = ("CL",) if "CL" in ontology.prefixes else ontology.prefixes
    return next((found for prefix in prefixes if (found := ontology.find(name, prefix=prefix))), None)


def _term_at(text: str, ontology: Ontology) -> Term:
    """The term that an id or a name means."""
    if looks_like_id(text := text.strip()):
        return _usable_term(text, ontology)
    if found := _find(text, ontology):
        return found[0]
    raise ValueError(f"No cell type is called {text!r}; give the name or the id of a term, such as CL:0000542.")


def _usable_term(term_id: str, ontology: Ontology) -> Term:
    term = ontology.term(term_id)
    if not term.obsolete:
        return term
    successor = ontology.current(term_id)
    advice = "Give another id" if successor.obsolete else f"Give its successor {successor.id} ({successor.name})"
    raise ValueError(f"Ontology id {term.id} ({term.name}) is obsolete. {advice}.")


def _aspect(term: Term | None) -> str:
    if term is None:
        return "cell type"
    return _ASPECT_OF.get(term.id) or _ASPECT_OF.get(term.id.partition(":")[0], "cell type")


def _checked(labels: list[Label]) -> list[Label]:
    if len(labels) < 2:
        given = f"one label ({labels[0].name!r})" if labels else "no labels"
        raise ValueError(f"Got {given}, but naming needs at least two labels.")
    for label in labels:
        if not label.name.strip():
            raise ValueError("A label is empty. Give each label a name.")
        if not isinstance(label.text, str) or not label.text.strip():
            raise ValueError(f"Label {label.name!r} has no text. Give it one, or leave the text to the ontology.")
    if doubles := _doubles(labels, lambda label: label.name):
        raise ValueError(f"Duplicate labels: {doubles}. Keep one of each (case, blanks and underscores do not count).")
    if doubles := _doubles(labels, lambda label: label.text):
        raise ValueError(f"Labels with the same text, which no model can tell apart: {doubles}. Keep one of each.")
    return labels


def _doubles(labels: list[Label], key: Callable[[Label], str]) -> str:
    """The names of labels that share a key, group by group; "" when no two do."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(normalize_name(key(label)), []).append(repr(label.name))
    return "; ".join(" and ".join(names) for names in groups.values() if len(names) > 1)
