"""Names of cell types as laboratories shorten them ("Naive CD4 T", "FCGR3A+ Mono"), read as terms of the Cell Ontology.

A name is taken apart into words and markers, in any order, without what does not tell types apart: "Naive CD4 T" and
"naive thymus-derived CD4-positive, alpha-beta T cell" are both {naive, t} with {cd4+}. `name_variants` goes the other
way, from a term to its short forms.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from langcell.processing.ontology.markers import take_markers
from langcell.processing.ontology.name_variants import SHORT_FORMS
from langcell.processing.ontology.sources import Term
from langcell.processing.ontology.trusted_names import is_foreign, trusted_synonyms
from langcell.processing.ontology.typeset import plain_signs

_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon"}
_WITHOUT_MEANING = re.compile(r"(?<!-)\balpha[- ]*beta\b|\bthymus[- ]derived\b")
# Short forms that `SHORT_FORMS` does not have, since nobody builds them from the name of a term.
_MORE_SHORT_FORMS = {
    "tcell": "t", "bcell": "b", "nkcell": "natural killer", "reg": "regulatory", "macs": "macrophage",
    "plt": "platelet", "tcm": "central memory t", "tem": "effector memory t", "tn": "naive t", "gdt": "gamma delta t",
    "gd": "gamma delta", "mait": "mucosal associated invariant t", "ctl": "cytotoxic t", "dcs": "dendritic",
    "epithelia": "epithelial", "endothelia": "endothelial", "cardiomyocyte": "cardiac muscle", "pb": "plasmablast",
    "excitatory": "glutamatergic", "inhibitory": "gabaergic", "microglia": "microglial", "astro": "astrocyte",
    "oligo": "oligodendrocyte", "proliferating": "cycling", "prolif": "cycling", "dividing": "cycling",
    "nonclassical": "non classical", "teff": "effector t", "tex": "exhausted t", "tscm": "stem memory t",
    "atii": "pulmonary alveolar type 2", "ati": "pulmonary alveolar type 1", "ii": "2", "iii": "3",
    "adipo": "adipocyte", "chondro": "chondrocyte", "kera": "keratinocyte", "melano": "melanocyte",
    "hep": "hepatocyte", "peri": "pericyte", "neut": "neutrophil", "eos": "eosinophil", "baso": "basophil",
    "motoneuron": "motor neuron",
    "at1": "pulmonary alveolar type 1", "at2": "pulmonary alveolar type 2", "hspc": "hematopoietic stem progenitor",
}  # fmt: skip
# Whole names that mean one type, though none of the ontology's names has just these words.
_WHOLE_NAMES = {
    "alpha": "pancreatic A cell", "beta": "type B pancreatic cell", "delta": "pancreatic D cell",
    "gamma": "pancreatic PP cell", "epsilon": "pancreatic epsilon cell", "nkt": "mature NK T cell",
    "gamma delta": "gamma-delta T cell", "gamma-delta": "gamma-delta T cell",
    "cd34+": "hematopoietic precursor cell", "cd34": "hematopoietic precursor cell",
    "cdc1": "CD141-positive myeloid dendritic cell", "cdc2": "CD1c-positive myeloid dendritic cell",
}  # fmt: skip
# The clusters of one type are numbered; the number of "type 2" is part of the name.
_RUNNING_NUMBER = re.compile(r"(?<!\btype)(?<!\bgroup)(?<!\bclass)[ ._]+\d{1,2}$", re.IGNORECASE)
_SILENT = {"cell", "of", "the", "human", "lineage"}
_LEVELS_THAT_MATTER = ("hi", "lo", "int")
_LINEAGES = {"t", "b"}
# What a name that has markers alone is a name of, by the marker; the first that it has decides. A marker that stays
# tells types of this kind apart, the others say no more than the kind.
_KIND_OF_MARKER = {
    "cd3+": ("t", False), "cd4+": ("t", True), "cd8+": ("t", True), "cd19+": ("b", False), "cd20+": ("b", False),
    "cd56+": ("natural killer", False), "cd56hi": ("natural killer", True), "cd56lo": ("natural killer", True),
    "cd14+": ("monocyte", True), "cd138+": ("plasma", False), "cd31+": ("endothelial", False),
    "cd326+": ("epithelial", False),
}  # fmt: skip
_T_CELL_MARKERS = {"cd3+", "cd4+", "cd8+"}
# Markers that make a type what it is: a "CD4- T cell" is no CD4 T cell, and "T cell" would say too little of it.
_MADE_OF = {
    "t": {"cd3", "cd4", "cd8"}, "thymocyte": {"cd4", "cd8"}, "b": {"cd19", "cd20"}, "killer": {"cd56"},
    "monocyte": {"cd14"},
}  # fmt: skip


@dataclass(frozen=True)
class NameParts:
    """What a name says, in no order.

    Attributes:
        words: without markers.
        markers: each with its level: "cd4+", "cd25-", "cd56hi", "cd14lo".
    """

    words: frozenset[str]
    markers: frozenset[str]


def take_apart(name: str) -> NameParts:
    """Return the words and markers of a cell type's name.

    >>> parts = take_apart("CD4+/CD45RA+/CD25- Naive T cells")
    >>> sorted(parts.words), sorted(parts.markers)
    (['naive', 't'], ['cd25-', 'cd4+', 'cd45ra+'])
    >>> sorted(take_apart("CD14⁻CD16⁺ Mono").markers)
    ['cd14-', 'cd16+']
    """
    text = "".join(
        f" {_GREEK[letter]} " if letter in _GREEK else letter
        for letter in plain_signs(name).casefold().replace("_", " ")
    )
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    markers, rest = take_markers(_WITHOUT_MEANING.sub(" ", text))
    words = {word for piece in re.findall(r"\w+", rest) for word in _words_of(piece)} - _SILENT
    if words & _LINEAGES:  # a T lymphocyte is a T cell
        words.discard("lymphocyte")
    if "naive" in words:  # what is meant by naive cytotoxic T cells will be cytotoxic
        words.discard("cytotoxic")
    return NameParts(frozenset(words), markers)


class Abbreviations:
    """Terms by the parts of their names and exact synonyms.

    Args:
        terms: obsolete ones, and those of other animals, are left out.
        ancestors: ids above the term with this id; without it, no term is above another.
    """

    def __init__(self, terms: Iterable[Term], *, ancestors: Callable[[str], set[str]] | None = None) -> None:
        self._ancestors = ancestors or (lambda term_id: set())
        self._by_words: dict[frozenset[str], dict[frozenset[str], dict[str, Term]]] = defaultdict(dict)
        current = [term for term in terms if not term.obsolete and not is_foreign(term)]
        by_name = [(take_apart(term.name), term) for term in current]
        self._add(by_name)
        taken = {parts for parts, _ in by_name}
        by_synonym = [(take_apart(synonym), term) for term in current for synonym in trusted_synonyms(term)]
        self._add([(parts, term) for parts, term in by_synonym if parts not in taken])

    def find(self, name: str) -> Term | None:
        """Return the term that a shortened name means; None when there is none, or no telling which.

        A running number at the end does not count. The first of these that finds a term decides:

        1. the same words and markers;
        2. the same words and fewer markers, as many as possible. What is left out is a "+", or a "-" that the type is
           not made of;
        3. the same words and more markers, as few as possible, none that the type is made of.

        Of several terms with the same parts the one with the shortest name is taken, otherwise the one above all
        others. Of a name of markers alone they say what it is a name of ("CD3-CD19+": B cells).
        """
        name = _RUNNING_NUMBER.sub("", name.strip())
        whole = re.sub(r"[\s_]*cells?$", "", name.casefold())
        parts = take_apart(_WHOLE_NAMES.get(_GREEK.get(whole, whole), name))
        found = self._closest(parts)
        if found is None and (read := _with_its_kind(parts)):
            found = self._closest(read)
        return found

    def _closest(self, parts: NameParts) -> Term | None:
        """Return the term with these words whose markers are nearest."""
        candidates = self._by_words.get(parts.words, {}) if parts.words else {}
        if parts.markers in candidates:
            return _shortest(candidates[parts.markers].values())
        fewer = [m for m in candidates if m < parts.markers and _may_go(parts.markers - m, m, parts.words)]
        if fewer:
            most = max(map(len, fewer))
            return self._top([m for m in fewer if len(m) == most], candidates)
        more = [m for m in candidates if m > parts.markers and _may_come(m - parts.markers, parts)]
        least = min(map(len, more), default=0)
        return self._top([m for m in more if len(m) == least], candidates)

    def _top(
        self, marker_sets: list[frozenset[str]], candidates: Mapping[frozenset[str], dict[str, Term]]
    ) -> Term | None:
        """Of the terms with one of these sets of markers the one above all others; None when there is no such."""
        if len(marker_sets) == 1:
            return _shortest(candidates[marker_sets[0]].values())
        terms = {term.id: term for markers in marker_sets for term in candidates[markers].values()}
        above = [term for term in terms.values() if all(term.id in self._ancestors(i) for i in terms if i != term.id)]
        return above[0] if len(above) == 1 else None

    def _add(self, named: list[tuple[NameParts, Term]]) -> None:
        for parts, term in named:
            self._by_words[parts.words].setdefault(parts.markers, {})[term.id] = term


def _shortest(terms: Iterable[Term]) -> Term | None:
    """Return the term with the shortest name; None when two are as short."""
    by_length = sorted(terms, key=lambda term: len(term.name))
    is_alone = len(by_length) < 2 or len(by_length[0].name) < len(by_length[1].name)
    return by_length[0] if by_length and is_alone else None


def _with_its_kind(parts: NameParts) -> NameParts | None:
    """Return a name without a term of its own, read as one of the kind of cells that its markers say."""
    if parts.words:
        is_of_t_cells = parts.markers & _T_CELL_MARKERS and "cd3-" not in parts.markers
        return NameParts(parts.words | {"t"}, parts.markers) if is_of_t_cells else None
    for marker, (kind, stays) in _KIND_OF_MARKER.items():
        if marker in parts.markers and not (kind == "t" and "cd3-" in parts.markers):
            tells = {"cd4-", "cd8-"} if kind == "t" else set()
            other_kinds = {level for level in parts.markers - tells if level.endswith("-")}
            return NameParts(frozenset(kind.split()), parts.markers - other_kinds - ({marker} - {marker * stays}))
    return None


def _may_come(added: frozenset[str], parts: NameParts) -> bool:
    """Return whether markers may be added: to a name with markers, and none that would make another type of it."""
    names = {re.sub(r"(?:[+-]|hi|lo|int)$", "", marker) for marker in added}
    return bool(parts.markers) and not any(names & _MADE_OF.get(word, set()) for word in parts.words)


def _may_go(gone: frozenset[str], kept: frozenset[str], words: frozenset[str]) -> bool:
    """Return whether a type without these markers is still a true name: NK cells are what "CD56+ NK" are."""
    if any(marker.endswith(_LEVELS_THAT_MATTER) for marker in gone):
        return False
    missing = {marker[:-1] for marker in gone if marker.endswith("-")}
    if kept & {"cd4+", "cd8+"}:  # a CD4 T cell has no CD8
        missing -= {"cd4", "cd8"}
    return not any(missing & _MADE_OF.get(word, set()) for word in words)


def _words_of(piece: str) -> list[str]:
    """Return a piece without its plural, written out."""
    for form in (piece, _singular(piece)):
        if form in _WRITTEN_OUT:
            return _WRITTEN_OUT[form]
    return [_singular(piece)]


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 2 and re.search(r"[^suiy]s$", word) else word


def _written_out() -> dict[str, list[str]]:
    """Short form of one word -> the words of the long one."""
    found = {short: phrase for phrase, shorts in SHORT_FORMS for short in shorts if " " not in short}
    return {
        short: [word for word in phrase.split() if word not in _SILENT]
        for short, phrase in (found | _MORE_SHORT_FORMS).items()
    }


_WRITTEN_OUT = _written_out()
