"""States of cells in labels: "IFN-stimulated CD14+ Mono" is a type and a state, "interferon-stimulated".

A type's text says what a cell is, a state what it does at the moment. The state becomes a piece of its own at the end
of the text, "state: interferon-stimulated; ", which models with states in `reference_cells.npz` know.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

_INTERFERON = r"(?:type i )?(?:interferon|ifn)(?:[- ](?:alpha|beta|gamma|[abgαβγ]))?"
STATES: Mapping[str, str] = MappingProxyType(
    {
        "cycling": r"cycling|proliferating|proliferative|dividing|mitotic|mki67\+",
        "interferon-stimulated": (
            rf"{_INTERFERON}[- ](?:stimulated|responsive|responding|induced|activated|treated|response)"
            rf"|(?:stimulated|treated|activated) (?:with|by) {_INTERFERON}|(?:responding|response) to {_INTERFERON}"
            r"|isg(?:\+|[- ]?hi(?:gh)?)|isg15\+"
        ),
        "hypoxic": r"hypoxic|(?:under|in) hypoxia",
        "activated": r"activated|recently stimulated",
        "exhausted": r"exhausted|dysfunctional",
    }
)
"""What each state is called, as regular expressions for text in lower case."""

_NO_STATE = r"unstimulated|untreated|non-?stimulated|not stimulated"
_EDGE_BEFORE, _EDGE_BEHIND = r"(?<![\w-])(?:in the state |state: )?", r"(?![\w-])"
_MOST_WORDS = 12  # of a text that is a name, and not a sentence in which "activated" may say anything
_PATTERNS = {
    state: re.compile(f"{_EDGE_BEFORE}(?:{words}){_EDGE_BEHIND}", re.IGNORECASE)
    for state, words in {**STATES, "": _NO_STATE}.items()
}


def read_state(name: str) -> tuple[str, str] | None:
    """Take the one state out of a name or a text.

    Returns:
        The rest and the state, "" for words such as "unstimulated"; None where there is no word for a state, or nothing
        else, or words for several.

    >>> read_state("IFN-stimulated CD14+ Mono"), read_state("T cells, cycling"), read_state("exhausted")
    (('CD14+ Mono', 'interferon-stimulated'), ('T cells', 'cycling'), None)
    >>> read_state("unstimulated B cell"), read_state("non-activated B cell"), read_state("NK cell")
    (('B cell', ''), None, None)
    """
    found = {state: match for state, pattern in _PATTERNS.items() if (match := pattern.search(name))}
    if len(found) != 1:
        return None
    ((state, match),) = found.items()
    before, behind = name[: match.start()].rstrip(" ,;(_"), name[match.end() :].lstrip(" ,;)_")
    rest = " ".join(f"{before} {behind}".split())
    return (rest, state) if re.search(r"\w", rest) else None


def is_short(text: str) -> bool:
    """Return whether a text that a user gave is a name with words around it rather than a sentence."""
    return len(text.split()) <= _MOST_WORDS and "." not in text.rstrip(". ")


def state_piece(state: str) -> str:
    """Return the piece of text that says what state a cell is in.

    >>> state_piece("cycling")
    'state: cycling; '
    """
    return f"state: {state}; " if state else ""
