"""Surface markers in names of cell types: "CD14-CD16+", "CD56bright", "IgD-negative", "FCGR3A+", with their levels."""

import re

_LEVEL = {
    "positive": "+", "pos": "+", "negative": "-", "neg": "-",
    "high": "hi", "bright": "hi", "hi": "hi", "low": "lo", "dim": "lo", "lo": "lo",
    "intermediate": "int", "int": "int", "med": "int", "mid": "int",
}  # fmt: skip
_LEVEL_ALONE = r"positive|negative|pos|neg|high|hi|bright|low|lo|dim|int|med|mid"
_CLUSTER = r"cd\d+[a-z]{0,2}?|ig[adegm]\d?"
# Genes by which markers are called in names of cell types.
_MARKER_OF_GENE = {
    "fcgr3a": "cd16", "fcgr3": "cd16", "ncam1": "cd56", "ms4a1": "cd20", "il2ra": "cd25", "il7r": "cd127",
    "il3ra": "cd123", "itgax": "cd11c", "itgam": "cd11b", "ptprc": "cd45", "pecam1": "cd31", "sdc1": "cd138",
    "klrb1": "cd161", "thy1": "cd90", "mme": "cd10", "cd8a": "cd8", "cd8b": "cd8", "cd3d": "cd3", "cd3e": "cd3",
    "cd3g": "cd3", "cd79a": "cd79", "cd79b": "cd79", "ncam": "cd56", "epcam": "cd326",
}  # fmt: skip
_KNOWN_GENES = "|".join(gene for gene in _MARKER_OF_GENE if not gene.startswith("cd"))
# Behind a minus a further marker has to follow: in "CD4-T" it is a hyphen.
_NEXT_MARKER = rf"/?(?:{_CLUSTER}|{_KNOWN_GENES}|[a-z]+\d*[a-z]?(?:\++|-(?![a-z0-9])))"
_MARKER = re.compile(
    rf"(?<!\w)(?P<spelled>[a-z0-9]+(?:-[a-z0-9]+)*?)-(?P<level>positive|negative|high|bright|low|dim|intermediate)\b"
    rf"|(?<!\w)(?P<cluster>{_CLUSTER})[ -]?(?P<short>{_LEVEL_ALONE})(?:/-)?(?![a-z0-9])"
    rf"|(?<!\w)(?P<unsure>{_CLUSTER}|[a-z]+\d+[a-z]?)(?:\+/-|±)(?![a-z0-9])"
    rf"|(?<!\w)(?P<negative>{_CLUSTER}|{_KNOWN_GENES})(?P<minus>-)(?={_NEXT_MARKER})"
    rf"|(?<!\w)(?P<signed>[a-z0-9]+)(?P<sign>\++|-(?![a-z0-9]))"
    rf"|(?<!\w)(?P<bare>cd\d+[a-z]*)\b"
)
_RUN_TOGETHER = re.compile(rf"(?<=\d)([a-z]?)({_LEVEL_ALONE})(?=cd\d|ig[adegm])")


def take_markers(text: str) -> tuple[frozenset[str], str]:
    """Return the markers of a name, each with its level, and what is left of the name.

    A marker without a level is positive; one that is both ("CD16+/-") says nothing. Beside a "++" a single "+" is low.

    Args:
        text: in lower case, with plain signs (`typeset.plain_signs`).

    >>> markers, rest = take_markers("cd14locd16hi mono")
    >>> sorted(markers), rest.strip()
    (['cd14lo', 'cd16hi'], 'mono')
    >>> sorted(take_markers("cd3-cd19+ cells")[0])
    ['cd19+', 'cd3-']
    """
    text = _RUN_TOGETHER.sub(r"\1\2 ", text)
    has_more = any(len(found["sign"] or "") > 1 for found in _MARKER.finditer(text))
    markers = frozenset(_marker(found, has_more) for found in _MARKER.finditer(text) if not found["unsure"])
    return markers, _MARKER.sub(" ", text)


def _marker(found: re.Match[str], has_more: bool) -> str:
    """Return the name and the level of a marker; `has_more` when the name has "++" somewhere."""
    name = found["spelled"] or found["cluster"] or found["negative"] or found["signed"] or found["bare"]
    level = found["level"] or found["short"] or found["minus"] or found["sign"] or "+"
    level = "lo" if has_more and level == "+" else level
    level = level if level in _LEVEL else level[0]
    return _MARKER_OF_GENE.get(name, name) + _LEVEL.get(level, level)
