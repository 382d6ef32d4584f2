"""Values of a label column as types: no type for words that say nothing, and one spelling for each type."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from langcell.processing.ontology.terms import normalize_name
from langcell.processing.ontology.unknown_values import names_no_type, says_nothing


@dataclass(frozen=True)
class LabelColumn:
    """A label column that was read.

    Attributes:
        values: the type of each cell, "" where it has none.
        merged: the other spellings of a type, by the one that is kept. Blanks, case and underscores tell no types
            apart.
    """

    values: list[str]
    merged: Mapping[str, tuple[str, ...]]

    def notes(self) -> list[str]:
        """Return one line on the spellings that were taken for one type; none where there is nothing to say."""
        if not self.merged:
            return []
        listed = "; ".join(f"{', '.join(map(repr, others))} as {kept!r}" for kept, others in self.merged.items())
        return [f"Spellings that differ in blanks, case or underscores are one type: {listed}"]


def read_label_column(values: Iterable[object]) -> LabelColumn:
    """Read a column of types. Of several spellings of a type the most frequent is kept, of those the first by letters.

    Args:
        values: the values of the cells; missing ones, and words that say nothing (`says_nothing`, "cell"), are no type.

    >>> column = read_label_column(["B", "B ", "b", "NK", "N/A", None, "B"])
    >>> column.values, dict(column.merged)
    (['B', 'B', 'B', 'NK', '', '', 'B'], {'B': ('B ', 'b')})
    """
    written = ["" if says_nothing(value) or names_no_type(str(value)) else str(value) for value in values]
    spellings: dict[str, Counter[str]] = {}
    for text in written:
        if text:
            spellings.setdefault(normalize_name(text), Counter())[text] += 1
    kept = {key: min(counts, key=lambda text: (-counts[text], text)).strip() for key, counts in spellings.items()}
    merged = {
        kept[key]: others for key, counts in spellings.items() if (others := tuple(sorted(set(counts) - {kept[key]})))
    }
    return LabelColumn([kept[normalize_name(text)] if text else "" for text in written], merged)
