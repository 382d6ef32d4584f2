"""Names that the field's vocabularies use, with the terms that they mean: a table, `field_names.tsv`.

`field_names.md` says where the names are from. A row with a context counts only where another label, or the tissue,
has one of its words: "HSC" beside hepatocytes is the hepatic stellate cell.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from langcell.processing.ontology.abbreviations import NameParts, take_apart
from langcell.processing.ontology.terms import normalize_name

TABLE = Path(__file__).with_name("field_names.tsv")
# With fewer letters, "cell" is part of the name: an "M cell" is not an "M".
_LEAST_LETTERS = 3
# Words for one place: the nouns that tissues are called by, and the adjectives in names of types.
_ORGANS = tuple(
    frozenset(words.split())
    for words in (
        "liver hepatic", "kidney renal", "lung pulmonary", "heart cardiac", "pancreas pancreatic", "stomach gastric",
        "skin dermal cutaneous", "intestine intestinal gut", "colon colonic", "breast mammary", "brain cerebral",
        "cortex cortical", "cerebellum cerebellar", "hippocampus hippocampal", "retina retinal", "cornea corneal",
        "thymus thymic", "spleen splenic", "prostate prostatic", "ovary ovarian", "testis testicular",
        "uterus uterine endometrium endometrial", "placenta placental", "thyroid", "pituitary", "adrenal suprarenal",
        "bronchus bronchial airway", "trachea tracheal", "nose nasal", "bladder vesical", "muscle muscular",
        "esophagus esophageal", "spinal cord",
    )
)  # fmt: skip


@dataclass(frozen=True)
class FieldName:
    """A row of the table.

    Attributes:
        name: as the vocabularies write it.
        ontology_term_id: what it means.
        term_name: the name of that term, for readers of the table; a test holds the two together.
        context: words of which one has to be around; empty for a name that means this anywhere.
        vocabularies: who writes it so.
    """

    name: str
    ontology_term_id: str
    term_name: str
    context: frozenset[str]
    vocabularies: tuple[str, ...]


@cache
def field_names() -> tuple[FieldName, ...]:
    """Return all rows of the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            FieldName(
                row["name"],
                row["ontology_term_id"],
                row["term_name"],
                frozenset(row["context"].split()),
                tuple(row["vocabularies"].split("; ")),
            )
            for row in csv.DictReader(file, delimiter="\t")
        )


def find_field_name(name: str, *, context: Iterable[str] = ()) -> str | None:
    """Return the id of the term that a name of the field's vocabularies means; None where there is none, or no telling
    which.

    Args:
        name: as somebody wrote it. Case, blanks, hyphens, the plural, "cell" and a number at the end do not count.
        context: words around it, in lower case (`context_words`).

    >>> find_field_name("CD16 Mono"), find_field_name("HSC", context={"liver"}), find_field_name("B cell of mine")
    ('CL:0002396', 'CL:0000632', None)
    """
    by_key, by_parts = _indexes()
    words = frozenset(context)
    for spelling in dict.fromkeys((name, re.sub(r"[ ._]+\d{1,2}$", "", name.strip()))):
        if rows := by_key.get(_key(spelling)):
            return _meant(rows, words)
    return _meant(by_parts.get(take_apart(name), ()), words)


def rows_of(name: str) -> list[FieldName]:
    """Return all rows with this name, whatever their context."""
    by_key, by_parts = _indexes()
    return [*(by_key.get(_key(name)) or by_parts.get(take_apart(name), ()))]


def context_words(texts: Iterable[str | None]) -> frozenset[str]:
    """Return the words of labels, names of terms and tissues, in lower case and without plurals.

    A word for an organ brings the other words for it.

    >>> sorted(context_words(["Stellate cells", None, "liver"]))
    ['cell', 'hepatic', 'liver', 'stellate']
    """
    found = (word for text in texts for word in re.findall(r"[^\W\d_]+", (text or "").casefold()))
    words = {re.sub(r"(?<=\w\w\w)(?<![sui])s$", "", word) for word in found}
    return frozenset(words.union(*(organ for organ in _ORGANS if organ & words)))


def _meant(rows: Sequence[FieldName], words: frozenset[str]) -> str | None:
    """Return the term of the row whose context is around; else of the row that needs none."""
    around = Counter({row.ontology_term_id: len(row.context & words) for row in rows if row.context & words})
    if around:
        (first, most), *others = around.most_common(2)
        return first if not others or most > others[0][1] else None
    anywhere = {row.ontology_term_id for row in rows if not row.context}
    return anywhere.pop() if len(anywhere) == 1 else None


def _key(name: str) -> str:
    """Return the form in which names are compared."""
    text = re.sub(r"(?<=\w)-(?=\w)(?!cd\d)", " ", normalize_name(name))
    text = re.sub(r"(?<=\w\w)(?<![sui])s$", "", text)
    shorter = re.sub(r" cell$", "", text)
    return shorter if len(shorter) >= _LEAST_LETTERS else text


@cache
def _indexes() -> tuple[dict[str, list[FieldName]], dict[NameParts, list[FieldName]]]:
    """Rows by the form of their name, and by its words and markers."""
    return _index(_key), {parts: rows for parts, rows in _index(take_apart).items() if parts.words}


def _index(form: Callable[[str], Any]) -> dict[Any, list[FieldName]]:
    index: dict[Any, list[FieldName]] = defaultdict(list)
    for row in field_names():
        index[form(row.name)].append(row)
    return index
