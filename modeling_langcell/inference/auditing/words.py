"""What the words of labels say: synonyms, obsolete terms, words without a term, words that their id disagrees with."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from langcell.inference.evidence.profiles import in_line
from langcell.processing.labels.lookup import Label, look_up, plain_label
from langcell.processing.labels.suggest import suggest
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.terms import Ontology, looks_like_id, normalize_name
from langcell.processing.ontology.unknown_values import names_no_type, says_nothing

WordKind = Literal["synonym", "spelling", "same type", "not in the ontology", "no type", "obsolete", "disagrees"]
# Kinds that are wrong; the others are worth knowing.
WRONG_WORDS = ("obsolete", "disagrees")
_OBSOLETE = "obsolete "
# Numbers of clusters and truth values: the text encoder would read a type into them.
_NUMBERED = re.compile(r"(?:(?:cluster|leiden|louvain|group)[\s_.-]*)?[+-]?\d+(?:\.\d+)?|true|false", re.IGNORECASE)


@dataclass(frozen=True)
class WordFinding:
    """One thing that there is to say of the words of a label.

    Attributes:
        kind: what it is.
        text: a sentence on it.
    """

    kind: WordKind
    text: str

    @property
    def is_wrong(self) -> bool:
        """Whether it has to be corrected."""
        return self.kind in WRONG_WORDS


@dataclass(frozen=True)
class ReadLabel:
    """A label of the file, as it is read.

    Attributes:
        name: as the file has it.
        label: the candidate that it stands for.
        words: what there is to say of it.
    """

    name: str
    label: Label
    words: tuple[WordFinding, ...]


def read_words(
    names: Sequence[str], ids: Mapping[str, Collection[str]], *, ontology: Ontology | None = None
) -> list[ReadLabel]:
    """Read the labels of a column.

    Args:
        names: different labels.
        ids: the ontology ids that the file gives the cells of each label; nothing where it has no such column.
        ontology: where terms are; by default the bundled Cell Ontology.
    """
    ontology = ontology or Ontology.cellxgene()
    read = [_read(name, sorted(ids.get(name, ())), names, ontology) for name in names]
    return [ReadLabel(one.name, one.label, (*one.words, *_shared(one, read))) for one in read]


def _read(name: str, ids: Sequence[str], names: Sequence[str], ontology: Ontology) -> ReadLabel:
    if says_nothing(name) or names_no_type(name) or (not ids and _NUMBERED.fullmatch(name.strip())):
        return ReadLabel(name, plain_label(name), (WordFinding("no type", f"{name!r} names no type of cell."),))
    try:
        label = look_up(LabelEntry(name), ontology)
    except ValueError as error:  # words and an id within one name, or an id that there is not
        kind: WordKind = "obsolete" if "obsolete" in str(error) else "disagrees"
        return ReadLabel(name, _by_id(name, ids, ontology), (WordFinding(kind, str(error)),))
    words = [*_of_name(name, label, names, ontology), *_of_ids(label, ids, ontology)]
    if label.ontology_term_id is None and ids:
        label = _by_id(name, ids, ontology)
    return ReadLabel(name, label, tuple(words))


def _of_name(name: str, label: Label, names: Sequence[str], ontology: Ontology) -> list[WordFinding]:
    if label.remark and "obsolete" in label.remark:
        return [WordFinding("obsolete", f"{label.remark}.")]
    if label.ontology_term_id is None:
        if (old := _obsolete_names(ontology).get(normalize_name(name))) is not None:
            successor = ontology.current(old)
            instead = "" if successor.obsolete else f"; its successor is {successor.name} ({successor.id})"
            return [WordFinding("obsolete", f"{name!r} is the obsolete term {old}{instead}.")]
        offered = suggest(name, others=[one for one in names if one != name], ontology=ontology)
        instead = f"; did you mean {offered.term.name} ({offered.term.id})?" if offered else "."
        return [WordFinding("not in the ontology", f"{name!r} is no term of the Cell Ontology{instead}")]
    term = ontology.term(label.ontology_term_id)
    if looks_like_id(name) or normalize_name(name) == normalize_name(term.name):
        return []
    return [WordFinding("synonym", f"{name!r} is read as {term.name} ({term.id}).")]


def _of_ids(label: Label, ids: Sequence[str], ontology: Ontology) -> list[WordFinding]:
    found = []
    if len(ids) > 1:
        found.append(WordFinding("disagrees", f"Its cells have {len(ids)} ontology ids: {', '.join(ids)}."))
    for term_id in ids:
        if term_id not in ontology:
            found.append(WordFinding("disagrees", f"Its id {term_id} is not in {ontology.version}."))
            continue
        term = ontology.term(term_id)
        if term.obsolete:
            now = ontology.current(term_id)
            instead = "" if now.obsolete else f"; its successor is {now.name} ({now.id})"
            found.append(WordFinding("obsolete", f"Its id {term_id} is obsolete{instead}."))
        elif label.ontology_term_id is not None and not in_line(label.ontology_term_id, term_id, ontology):
            meant = ontology.term(label.ontology_term_id)
            text = f"Its words mean {meant.name} ({meant.id}), its id is {term_id} ({term.name})."
            found.append(WordFinding("disagrees", text))
    return found


def _shared(one: ReadLabel, read: Sequence[ReadLabel]) -> list[WordFinding]:
    """Other labels that are spellings of the same, or names of the same type."""
    found = []
    for other in read:
        if other.name == one.name:
            continue
        if normalize_name(other.name) == normalize_name(one.name):
            found.append(WordFinding("spelling", f"{other.name!r} is another spelling of it."))
        elif one.label.ontology_term_id and other.label.ontology_term_id == one.label.ontology_term_id:
            found.append(WordFinding("same type", f"{other.name!r} means the same type, {one.label.ontology_term_id}."))
    return found


def _by_id(name: str, ids: Sequence[str], ontology: Ontology) -> Label:
    """Return the label by the first of its ids that there is; by its name alone where there is none."""
    for term_id in ids:
        try:
            return look_up(LabelEntry(name, None, term_id), ontology)
        except ValueError:
            continue
    return plain_label(name)


@cache
def _obsolete_names(ontology: Ontology) -> dict[str, str]:
    """Ids of the obsolete types by their names, with and without the word "obsolete"."""
    found: dict[str, str] = {}
    for term in (ontology.term(term_id) for term_id in ontology.ids("CL")):
        if term.obsolete and term.name:
            name = normalize_name(term.name)
            found.setdefault(name, term.id)
            found.setdefault(name.removeprefix(_OBSOLETE), term.id)
    return found
