"""Whether labels are those that a calibration was fitted with: the same names with the same texts, in any order."""

from collections.abc import Mapping, Sequence
from typing import Any

from langcell.processing.ontology.terms import normalize_name

_MOST_NAMED = 5


def difference_of_labels(fitted: Mapping[str, Any], used: Mapping[str, Any]) -> str | None:
    """Return what differs between two lists of labels, as a part of a sentence; None where nothing does.

    Args:
        fitted: "labels", names, and "label_texts", their texts in the same order; what is not there is not compared.
        used: the same of the labels that cells are to be named by.

    >>> difference_of_labels({"labels": ["B cell", "T cell"]}, {"labels": ["T cell", "NK cell", "B cell"]})
    "without the labels 'NK cell'"
    """
    if "labels" not in fitted or "labels" not in used:
        return None
    then, now = list(fitted["labels"]), list(used["labels"])
    if added := [name for name in now if name not in then]:
        return f"without the labels {_listed(added)}"
    if gone := [name for name in then if name not in now]:
        return f"with {len(then)} labels, among them {_listed(gone)}, which are not given here"
    if "label_texts" not in fitted or "label_texts" not in used:
        return None
    texts = dict(zip(now, used["label_texts"], strict=True))
    for name, text in zip(then, fitted["label_texts"], strict=True):
        if normalize_name(text) != normalize_name(texts[name]):
            return f"with another text for {name!r}, {short(text)}; here it is {short(texts[name])}"
    return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_MOST_NAMED])) + (f" and {n} more" if (n := len(names) - _MOST_NAMED) > 0 else "")


def short(value: Any) -> str:
    """Return a value as a message shows it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
