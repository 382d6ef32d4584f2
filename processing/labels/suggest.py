"""Did you mean: the terms that a label which is not read as a term is nearest to, by name, synonym and context."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from langcell.processing.labels.field_names import context_words, rows_of
from langcell.processing.labels.lookup import Label, look_up
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.abbreviations import take_apart
from langcell.processing.ontology.terms import Ontology, Term
from langcell.processing.ontology.trusted_names import is_foreign, trusted_synonyms
from langcell.processing.ontology.unknown_values import is_of_every_cell, says_nothing

# Below it, the nearest term is no guess worth showing. Both chosen on the names of the tests.
LEAST_SIMILARITY = 0.55
# Names with fewer pairs of letters in common are no spellings of each other.
_LEAST_DICE = 0.72
_OF_THE_TABLE = 0.95
_WEIGHT_OF_CONTEXT = 0.5
_STEM = 6  # letters by which words of the context are compared: "pancreas" and "pancreatic" are one
# A name of these words alone says what cells do, and not what they are.
_STATES = frozenset(
    {"cycling", "mature", "immature", "activated", "resting", "other", "stressed", "quiescent", "doublet"}
)
_SILENT = frozenset({"cell", "cells", "of", "the", "and", "in", "type", "like", "human", "a", "to", "with"})


@dataclass(frozen=True)
class Candidate:
    """A term that a label may mean.

    Attributes:
        term: the term.
        similarity: similarity of the label and the nearest of the term's names, 0 to 1.
        score: the same, with what the context adds; candidates come by it.
    """

    term: Term
    similarity: float
    score: float


@dataclass(frozen=True)
class Suggestion:
    """What a label may mean: the nearest terms, the best first; at least one."""

    label: str
    candidates: tuple[Candidate, ...]

    @property
    def term(self) -> Term:
        """The nearest term, which is what accepting means."""
        return self.candidates[0].term

    def __str__(self) -> str:
        return f"{self.label}: " + " or ".join(f"{each.term.name} ({each.term.id})" for each in self.candidates)


def suggest(
    label: str,
    *,
    others: Iterable[str] = (),
    tissue: str | None = None,
    ontology: Ontology | None = None,
    most: int = 2,
) -> Suggestion | None:
    """Return the terms that a label is nearest to; None where none is near.

    Args:
        label: a name that is not read as a term.
        others: the other labels, as they were given; they and the tissue decide between terms that are as near.
        tissue: where the cells are from, in words.
        ontology: by default the bundled Cell Ontology.
        most: candidates at most.

    >>> suggest("ductal", others=["alpha", "beta", "acinar"]).term.name
    'pancreatic ductal cell'
    >>> suggest("hepatocite").term.name, suggest("cluster 7")
    ('hepatocyte', None)
    """
    ontology, others = ontology or Ontology.cellxgene(), list(others)
    if "CL" not in ontology.prefixes or says_nothing(label) or _is_a_number(label):
        return None
    words, letters = _words(label), _pairs(label)
    if words <= _STATES:
        return None
    index, around_words = _index(ontology), _context(others, tissue, ontology)
    around, candidates = _stems(around_words), []
    for named in index.names_near(words, letters):
        spelling = _dice(letters, named.letters)
        similarity = max(index.overlap(words, named.words), spelling if spelling >= _LEAST_DICE else 0.0)
        if _contradict(words, named.words):
            continue
        if similarity >= LEAST_SIMILARITY:
            score = similarity + _WEIGHT_OF_CONTEXT * index.share_of_context(named.term, around)
            candidates.append(Candidate(named.term, round(similarity, 4), round(score, 4)))
    candidates += _from_the_table(label, ontology, around_words)
    ranked = sorted(candidates, key=lambda each: (-each.score, len(each.term.name), each.term.id))
    best = {each.term.id: each for each in reversed(ranked)}
    chosen = sorted(best.values(), key=ranked.index)[:most]
    return Suggestion(label, tuple(chosen)) if chosen else None


def suggestions(
    labels: Sequence[Label], *, ontology: Ontology | None = None, tissue: str | None = None
) -> list[Suggestion]:
    """Return suggestions for the labels that are used as they are; a term that another label has is not suggested
    again."""
    taken = {label.ontology_term_id for label in labels}
    found = []
    for label in labels:
        if label.match is None and label.remark is None:
            others = [other.name for other in labels if other is not label]
            suggestion = suggest(label.name, others=others, tissue=tissue, ontology=ontology)
            free = tuple(each for each in suggestion.candidates if each.term.id not in taken) if suggestion else ()
            if free:
                found.append(Suggestion(label.name, free))
    return found


def accepted(labels: Sequence[Label], ontology: Ontology, *, tissue: str | None = None) -> list[Label]:
    """Return the labels, each that is used as it is read as the first of its suggestions; of two with one, neither."""
    offered = suggestions(labels, ontology=ontology, tissue=tissue)
    wanted = Counter(suggestion.term.id for suggestion in offered)
    term_of = {each.label: each.term for each in offered if wanted[each.term.id] == 1}
    return [
        look_up(LabelEntry(label.name, None, term_of[label.name].id), ontology)
        if label.match is None and label.name in term_of
        else label
        for label in labels
    ]


def _from_the_table(label: str, ontology: Ontology, around: frozenset[str]) -> list[Candidate]:
    """Return what the field's vocabularies mean by this name: first where its context is around, then elsewhere."""
    found = []
    for row in rows_of(label):
        if row.ontology_term_id in ontology:
            score = _OF_THE_TABLE + (_WEIGHT_OF_CONTEXT if row.context & around else 0.0)
            found.append(Candidate(ontology.term(row.ontology_term_id), _OF_THE_TABLE, score))
    return found


@dataclass(frozen=True)
class _Named:
    """One name of a term, taken apart."""

    term: Term
    words: frozenset[str]
    letters: frozenset[str]


class _NameIndex:
    """Names and trusted synonyms of all cell types of an ontology."""

    def __init__(self, ontology: Ontology) -> None:
        terms = [ontology.term(term_id) for term_id in ontology.ids("CL")]
        terms = [t for t in terms if t.name and not (t.obsolete or is_foreign(t) or is_of_every_cell(t))]
        self._names = [
            _Named(term, _words(name), _pairs(name)) for term in terms for name in (term.name, *trusted_synonyms(term))
        ]
        self._about = {term.id: _stems(context_words([term.name, *term.synonyms])) for term in terms}
        counts = Counter(word for named in self._names for word in named.words)
        stems = Counter(stem for stems in self._about.values() for stem in stems)
        self._rarity_of_stem = {stem: math.log(len(terms) / count) for stem, count in stems.items()}
        self._rarity = {word: math.log(len(self._names) / count) for word, count in counts.items()}

    def names_near(self, words: frozenset[str], letters: frozenset[str]) -> Iterable[_Named]:
        """Names that share a word, or more than a third of the pairs of letters."""
        stems = {word[:4] for word in words}
        for named in self._names:
            if stems & {word[:4] for word in named.words} or 3 * len(letters & named.letters) > len(letters):
                yield named

    def overlap(self, words: frozenset[str], others: frozenset[str]) -> float:
        """How much two names share, by the rarity of their words; what the label has counts more than what it lacks."""
        if not words or not others:
            return 0.0
        shared = {word: _nearest(word, others) for word in words}
        weight = {word: self._rarity.get(word, 8.0) for word in words | others}
        both = sum(weight[word] * near for word, near in shared.items())
        missing = sum(weight[word] for word in others if _nearest(word, words) < 1)
        return both / (sum(weight[word] for word in words) + 0.35 * missing)

    def share_of_context(self, term: Term, around: frozenset[str]) -> float:
        """Return how much of the context a term's name and synonyms take up, 0 to 1."""
        shared = sum(self._rarity_of_stem.get(stem, 0.0) for stem in self._about[term.id] & around)
        return 1 - math.exp(-shared / 8)


@lru_cache(maxsize=4)
def _index(ontology: Ontology) -> _NameIndex:
    return _NameIndex(ontology)


def _context(others: Iterable[str], tissue: str | None, ontology: Ontology) -> frozenset[str]:
    """Words of the tissue, of the other labels and of the terms that they are read as."""
    texts: list[str | None] = [tissue]
    for name in others:
        texts.append(name)
        term_id = look_up(LabelEntry(name), ontology).ontology_term_id if name.strip() else None
        if term_id is not None:
            texts.append(ontology.term(term_id).name)
    return context_words(texts) - _SILENT


def _stems(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in words if word not in _SILENT)


def _words(name: str) -> frozenset[str]:
    parts = take_apart(name)
    return frozenset(parts.words - _SILENT) | parts.markers


def _contradict(words: frozenset[str], others: frozenset[str]) -> bool:
    """Return whether a marker that one name has as negative is positive, high or low in the other."""
    for one, other in ((words, others), (others, words)):
        lacking = {marker[:-1] for marker in one if marker.endswith("-")}
        if any(re.split(r"[+-]|hi$|lo$|int$", marker)[0] in lacking for marker in other if not marker.endswith("-")):
            return True
    return False


def _pairs(name: str) -> frozenset[str]:
    """Pairs of letters that follow each other, without blanks and signs."""
    text = re.sub(r"[\W_]+|cells?\b", "", name.casefold())
    return frozenset(text[i : i + 2] for i in range(len(text) - 1))


def _dice(one: frozenset[str], other: frozenset[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one and other else 0.0


def _nearest(word: str, others: Iterable[str]) -> float:
    """1 for a word that is there, 0.8 for one with the same stem ("ductal", "duct"), else 0."""
    if word in others:
        return 1.0
    stem = re.sub(r"(?:al|ar|ic|ous|ary|ular)$", "", word)
    return 0.8 if len(stem) > 3 and any(other.startswith(stem) for other in others) else 0.0


def _is_a_number(label: str) -> bool:
    return re.fullmatch(r"(?:cluster|group|leiden|louvain|c)?[\s_.-]*\d+(?:[._]\d+)*", label.strip(), re.I) is not None
