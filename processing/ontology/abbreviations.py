"""Names of cell types as laboratories shorten them ("Naive CD4 T", "FCGR3A+ Mono"), read as terms of the Cell Ontology.

A name is taken apart into words and markers, in any order, without what does not tell types apart: "Naive CD4 T" and
"naive thymus-derived CD4-positive, alpha-beta T cell" are both {naive, t} with {cd4+}. `written_names` goes the other
way, from a term to its short forms.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from langcell.processing.ontology.name_variants import SHORT_FORMS
from langcell.processing.ontology.sources import Term

_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon"}
_WITHOUT_MEANING = re.compile(r"\balpha[- ]*beta\b|\bthymus[- ]derived\b")
_LEVEL = {
    "positive": "+", "pos": "+", "negative": "-", "neg": "-", "high": "hi", "bright": "hi", "low": "lo", "dim": "lo",
}  # fmt: skip
_MARKER = re.compile(
    r"(?<!\w)(?P<spelled>[a-z0-9]+(?:-[a-z0-9]+)*?)-(?P<level>positive|negative|high|bright|low|dim)\b"
    r"|(?<!\w)(?P<cluster>cd\d+[a-z]*?)[ -]?(?P<short>pos|neg|high|hi|bright|low|lo|dim)\b"
    r"|(?<!\w)(?P<signed>[a-z0-9]+)(?P<sign>\++|-(?![a-z0-9]))"
    r"|(?<!\w)(?P<bare>cd\d+[a-z]*)\b"
)
# Genes by which markers are called in names of cell types.
_MARKER_OF_GENE = {
    "fcgr3a": "cd16", "fcgr3": "cd16", "ncam1": "cd56", "ms4a1": "cd20", "il2ra": "cd25", "il7r": "cd127",
    "il3ra": "cd123", "itgax": "cd11c", "itgam": "cd11b", "ptprc": "cd45", "pecam1": "cd31", "sdc1": "cd138",
    "klrb1": "cd161", "thy1": "cd90", "mme": "cd10", "cd8a": "cd8", "cd8b": "cd8", "cd3d": "cd3", "cd3e": "cd3",
}  # fmt: skip
# Short forms that `SHORT_FORMS` does not have, since nobody builds them from the name of a term.
_MORE_SHORT_FORMS = {
    "tcell": "t", "bcell": "b", "nkcell": "natural killer", "reg": "regulatory", "macs": "macrophage",
    "plt": "platelet", "tcm": "central memory t", "tem": "effector memory t", "tn": "naive t", "gdt": "gamma delta t",
    "gd": "gamma delta", "mait": "mucosal associated invariant t", "ctl": "cytotoxic t", "dcs": "dendritic",
    "epithelia": "epithelial", "endothelia": "endothelial", "cardiomyocyte": "cardiac muscle", "pb": "plasmablast",
    "excitatory": "glutamatergic", "inhibitory": "gabaergic", "microglia": "microglial", "astro": "astrocyte",
    "oligo": "oligodendrocyte",
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
_OF_MICE = "(Mmus)"
_LEVELS_THAT_MATTER = ("hi", "lo")
_LINEAGES = {"t", "b"}
_T_CELL_MARKERS = {"cd3+", "cd4+", "cd8+"}


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
    """The words and markers of a cell type's name.

    >>> parts = take_apart("CD4+/CD45RA+/CD25- Naive T cells")
    >>> sorted(parts.words), sorted(parts.markers)
    (['naive', 't'], ['cd25-', 'cd4+', 'cd45ra+'])
    """
    text = "".join(
        f" {_GREEK[letter]} " if letter in _GREEK else letter for letter in name.casefold().replace("_", " ")
    )
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    text = _WITHOUT_MEANING.sub(" ", text)
    markers = frozenset(_marker(found) for found in _MARKER.finditer(text))
    words = {word for piece in re.findall(r"\w+", _MARKER.sub(" ", text)) for word in _words_of(piece)} - _SILENT
    if words & _LINEAGES:  # a T lymphocyte is a T cell
        words.discard("lymphocyte")
    if "naive" in words:  # what is meant by naive cytotoxic T cells will be cytotoxic
        words.discard("cytotoxic")
    return NameParts(frozenset(words), markers)


class Shorthand:
    """Terms by the parts of their names and exact synonyms.

    Args:
        terms: obsolete ones, and those of mice, are left out.
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        self._by_words: dict[frozenset[str], dict[frozenset[str], dict[str, Term]]] = defaultdict(dict)
        current = [term for term in terms if not term.obsolete and _OF_MICE not in term.name]
        by_name = [(take_apart(term.name), term) for term in current]
        self._add(by_name)
        taken = {parts for parts, _ in by_name}
        by_synonym = [(take_apart(synonym), term) for term in current for synonym in term.synonyms]
        self._add([(parts, term) for parts, term in by_synonym if parts not in taken])

    def find(self, name: str) -> Term | None:
        """The term that a shortened name means; None when there is none, or no telling which.

        A running number at the end does not count. The first of these that finds a term decides: the same words and
        markers; the same words and fewer markers, as many as possible, where what is left out is a "+" or a "-"; the
        same words and more markers, as few as possible. Of several terms the one with the shortest name. A name with
        CD3, CD4 or CD8 and without a term of its own is read as that of a T cell.
        """
        name = _RUNNING_NUMBER.sub("", name.strip())
        whole = re.sub(r"[\s_]*cells?$", "", name.casefold())
        parts = take_apart(_WHOLE_NAMES.get(_GREEK.get(whole, whole), name))
        found = self._closest(parts)
        if not found and parts.markers & _T_CELL_MARKERS:
            found = self._closest(NameParts(parts.words | {"t"}, parts.markers))
        shortest = min((len(term.name) for term in found), default=0)
        meant = [term for term in found if len(term.name) == shortest]
        return meant[0] if len(meant) == 1 else None

    def _closest(self, parts: NameParts) -> list[Term]:
        """Terms with these words whose markers are nearest."""
        candidates = self._by_words.get(parts.words, {}) if parts.words else {}
        fewer = [markers for markers in candidates if _may_go(parts.markers - markers) and markers < parts.markers]
        more = [markers for markers in candidates if markers > parts.markers]
        if parts.markers in candidates:
            nearest = [parts.markers]
        elif fewer:
            nearest = [markers for markers in fewer if len(markers) == max(map(len, fewer))]
        else:
            nearest = [markers for markers in more if len(markers) == min(map(len, more))]
        return list({term.id: term for markers in nearest for term in candidates[markers].values()}.values())

    def _add(self, named: list[tuple[NameParts, Term]]) -> None:
        for parts, term in named:
            self._by_words[parts.words].setdefault(parts.markers, {})[term.id] = term


def _may_go(markers: frozenset[str]) -> bool:
    """Whether a type without these markers is still a true name: NK cells are what "CD56+ NK" are."""
    return not any(marker.endswith(_LEVELS_THAT_MATTER) for marker in markers)


def _marker(found: re.Match[str]) -> str:
    name = found["spelled"] or found["cluster"] or found["signed"] or found["bare"]
    level = found["level"] or found["short"] or (found["sign"] or "+")[0]
    return _MARKER_OF_GENE.get(name, name) + _LEVEL.get(level, level)


def _words_of(piece: str) -> list[str]:
    """A piece without its plural, written out."""
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
