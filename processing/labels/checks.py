"""What labels have to be together: two or more that a model can tell apart."""

from collections.abc import Callable, Sequence

from langcell.processing.labels.lookup import Label
from langcell.processing.ontology.terms import normalize_name

_KEYS: tuple[Callable[[Label], str], ...] = (lambda label: label.name, lambda label: label.text)


def check_labels(labels: Sequence[Label], written: Sequence[str]) -> None:
    """Refuse labels that no cell could be named by.

    Args:
        labels: all of them.
        written: how the user wrote each, which is how a message calls it.

    Raises:
        ValueError: fewer than two, a label without a name or a text, or labels with one name (case, blanks and
            underscores do not count) or one text; all that are alike are named.

    >>> check_labels([Label("a", "Text."), Label("b", "text. "), Label("c", "text.")], ["a", "b", "c"])
    Traceback (most recent call last):
    ValueError: Labels with the same text (or name), which no model can tell apart: 'a', 'b' and 'c'. Keep one of them.
    """
    if len(labels) < 2:
        given = f"one label ({written[0]!r})" if labels else "no labels"
        raise ValueError(f"Got {given}, but naming needs at least two labels. Add those to tell it apart from.")
    for label in labels:
        if not label.name.strip():
            raise ValueError("A label is empty. Give each label a name.")
        if not isinstance(label.text, str) or not label.text.strip():
            raise ValueError(f"Label {label.name!r} has no text. Give it one, or leave the text to the ontology.")
    alike = _alike(labels)
    doubles = [group for group in alike if len({normalize_name(labels[place].name) for place in group}) == 1]
    same_text = [group for group in alike if group not in doubles]
    faults = []
    if doubles:
        listed = "; ".join(_listed(labels, written, group) for group in doubles)
        faults.append(f"Duplicate labels: {listed}. Keep one of each (case, blanks and underscores do not count).")
    if same_text:
        listed = "; ".join(_listed(labels, written, group) for group in same_text)
        faults.append(
            f"Labels with the same text (or name), which no model can tell apart: {listed}. Keep one of them."
        )
    if faults:
        raise ValueError(" ".join(faults))


def _alike(labels: Sequence[Label]) -> list[list[int]]:
    """Places of the labels that share a name or a text, directly or by way of others; groups of two or more."""
    group_of = list(range(len(labels)))
    for key in _KEYS:
        first: dict[str, int] = {}
        for place, label in enumerate(labels):
            one, other = group_of[first.setdefault(normalize_name(key(label)), place)], group_of[place]
            if one != other:
                group_of = [one if group == other else group for group in group_of]
    groups = ([place for place, group in enumerate(group_of) if group == wanted] for wanted in dict.fromkeys(group_of))
    return [group for group in groups if len(group) > 1]


def _listed(labels: Sequence[Label], written: Sequence[str], group: Sequence[int]) -> str:
    """Return the labels of a group as they were written; an id also with the name that it stands for."""
    shown = []
    for place in group:
        name, text = labels[place].name, written[place].strip()
        shown.append(repr(text) if normalize_name(name) == normalize_name(text) else f"{text!r} ({name})")
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
