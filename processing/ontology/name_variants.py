"""Cell type names as people write them: "CD14+ Mono" for "CD14-positive monocyte", "Bcells.naive" for naive B cells."""

import re
from collections.abc import Iterator

# What a name may leave out without becoming another type in practice.
_LEFT_OUT = re.compile(r"\balpha-beta\b|\bthymus-derived\b|\bof (?:the )?[\w ]+$|\bhuman\b")
_MARKER = re.compile(r"\b([A-Za-z0-9-]+?)-(positive|negative|high|low|dim|bright)\b,?")
_SIGN = {"positive": "+", "negative": "-", "high": "hi", "low": "lo", "dim": "dim", "bright": "bright"}
# Whole phrases and their common short forms, longest first.
SHORT_FORMS = (
    ("natural killer t cell", ("nkt cell", "nkt")),
    ("natural killer cell", ("nk cell", "nk")),
    ("plasmacytoid dendritic cell", ("pdc",)),
    ("conventional dendritic cell", ("cdc",)),
    ("dendritic cell", ("dc",)),
    ("hematopoietic stem cell", ("hsc",)),
    ("oligodendrocyte precursor cell", ("opc",)),
    ("smooth muscle cell", ("smc", "smooth muscle")),
    ("regulatory t cell", ("treg",)),
    ("helper t cell", ("th",)),
    ("monocyte", ("mono",)),
    ("macrophage", ("mac", "mphage")),
    ("fibroblast", ("fibro",)),
    ("megakaryocyte", ("mk",)),
    ("erythrocyte", ("rbc", "red blood cell")),
    ("epithelial cell", ("epithelial", "epithelium", "epi")),
    ("endothelial cell", ("endothelial", "ec", "endo")),
    ("memory", ("mem",)),
    ("progenitor cell", ("progenitor", "prog")),
)
_NUMBER = re.compile(r"[ ._]*(?:\btype[ ._]*)?\b\d{1,2}$")


def clean_name_variant(name: str) -> str:
    """Return a name from a data set's own annotation as words: dots and underscores are blanks, a running number goes.

    >>> clean_name_variant("Bcells.memory.1"), clean_name_variant("Endothelial_2"), clean_name_variant("CD8.T...NK")
    ('bcells memory', 'endothelial', 'cd8 t nk')
    """
    words = " ".join(re.split(r"[\s._]+", name.strip()))
    shorter = _NUMBER.sub("", words).strip()
    return (shorter or words).lower()


def name_variants(name: str) -> list[str]:
    """Return other ways to write the name of a cell type, lower case, without the name itself.

    Markers with signs, parts that are usually left out, short forms, "cell" left out, and the plural.

    >>> name_variants("CD14-positive monocyte")
    ['cd14+ mono', 'cd14+ monocyte', 'cd14+ monocytes', 'cd14+ monos']
    >>> name_variants("acinar cell")
    ['acinar', 'acinar cells']
    """
    plain = " ".join(name.lower().split())
    found: dict[str, None] = {}
    for base in dict.fromkeys(_spellings(plain)):
        for short in (base, *_shortened(base)):
            found |= dict.fromkeys((short, *_without_cell(short), _plural(short)))
    found.pop(plain, None)
    return sorted(found)


def _spellings(name: str) -> Iterator[str]:
    """Yield the name with signs for words, without what is usually left out, and with markers in front or behind."""
    signed = _tidy(_MARKER.sub(lambda match: match[1] + _SIGN[match[2]], name))
    yield signed
    bare = _tidy(_LEFT_OUT.sub("", signed).replace(",", ""))
    yield bare
    # "cd4+ memory t cell" is as often "memory cd4+ t cell", and the other way round.
    markers = r"((?:\S+(?:\+|hi|lo|dim|bright) )+)"
    noun = r"(\S+ cell|(?!cell\b)\S+)$"
    if behind := re.match(rf"{markers}(\D+? ){noun}", bare):
        yield f"{behind[2]}{behind[1]}{behind[3]}"
    if ahead := re.match(rf"(\w+ (?:memory )?){markers}{noun}", bare):
        yield f"{ahead[2]}{ahead[1]}{ahead[3]}"


def _shortened(name: str) -> Iterator[str]:
    for phrase, shorts in SHORT_FORMS:
        if re.search(rf"\b{phrase}\b", name):
            for short in shorts:
                yield re.sub(rf"\b{phrase}\b", short, name)
            return


def _without_cell(name: str) -> Iterator[str]:
    if name.endswith(" cell"):
        yield name.removesuffix(" cell")


def _plural(name: str) -> str:
    if name.endswith(("s", "+", "-", "um")):
        return name
    return name[:-1] + "ies" if name.endswith("y") else name + "s"


def _tidy(name: str) -> str:
    return re.sub(r"\s*,(?=\s|$)", "", " ".join(name.split())).strip(" ,")
