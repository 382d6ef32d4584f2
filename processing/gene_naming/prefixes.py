"""Names of genes with something before or behind the gene: GRCh38_CD3D, hg19-CD3D, CD3D_ENSG00000167286, MATR3.1."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

_PREFIX = re.compile(r"^(?P<prefix>[A-Za-z][A-Za-z0-9.\-]*?[A-Za-z0-9.](?:[_:|]+|-+|\s+))(?=[A-Za-z0-9])")
_GENOME = re.compile(r"(pre-?mrna[-_]?)?(GRC[hm]\d+|hg\d+|mm\d+|human|mouse|homo_sapiens|mus_musculus)", re.IGNORECASE)
# GRCh38-2020-A_CD3D, premrna_GRCh38______CD3D: up to the first stroke behind the genome.
_LONG_PREFIX = re.compile(rf"^(?P<prefix>{_GENOME.pattern}[A-Za-z0-9.\-]*[_:|]+)(?=[A-Za-z0-9])", re.IGNORECASE)
_ID_WITHIN = re.compile(r"(?<![A-Za-z0-9])(ENS[A-Z]*G\d{11})(?!\d)")
_NUMBER_BEHIND = re.compile(r"[._-]\d+$")
_HUMAN_GENOME = re.compile(r"GRCh|hg\d|human|homo", re.IGNORECASE)
_MOUSE_GENOME = re.compile(r"GRCm|mm\d|mouse|mus_", re.IGNORECASE)
# A prefix that fewer names have is a part of names: HLA-, MT-, RP11-.
_LEAST_SHARE = 0.2

Matches = Callable[[Sequence[str]], int]


def plain_names(names: Sequence[str], n_known: Matches) -> tuple[list[str], list[str]]:
    """Return names without what stands before or behind them in most, and a line on each kind of change.

    A change is made where more genes are known after it.

    Args:
        names: as the file has them.
        n_known: how many of some names are known genes.

    >>> plain_names(["GRCh38_CD3D", "GRCh38_CD4", "CD8A"], lambda names: sum("_" not in name for name in names))
    (['CD3D', 'CD4', 'CD8A'], ['Took GRCh38_ off the names of 2 genes.'])
    """
    names, notes = list(names), []
    for change in (_without_long_prefixes, _without_prefixes, _ids_within, _without_numbers):
        changed, note = change(names)
        if note and n_known(changed) > n_known(names):
            names, notes = changed, [*notes, note]
    return names, notes


def genome_of(name: str) -> str:
    """Return the species whose genome a name begins with: "human", "mouse", or "".

    >>> genome_of("GRCh38_CD3D"), genome_of("mm10___Cd3d"), genome_of("CD3D")
    ('human', 'mouse', '')
    """
    found = _LONG_PREFIX.match(name) or _PREFIX.match(name)
    if found is None:
        return ""
    prefix = found["prefix"]
    return "human" if _HUMAN_GENOME.search(prefix) else "mouse" if _MOUSE_GENOME.search(prefix) else ""


def _without_long_prefixes(names: list[str]) -> tuple[list[str], str]:
    return _without_prefixes(names, _LONG_PREFIX)


def _without_prefixes(names: list[str], form: re.Pattern[str] = _PREFIX) -> tuple[list[str], str]:
    prefixes = [found["prefix"] if (found := form.match(name)) else "" for name in names]
    counts = Counter(prefix for prefix in prefixes if prefix)
    taken = {prefix: n for prefix, n in counts.items() if _GENOME.match(prefix) or n >= _LEAST_SHARE * len(names)}
    changed = [
        name.removeprefix(prefix) if prefix in taken else name for name, prefix in zip(names, prefixes, strict=True)
    ]
    shown = " and ".join(sorted(taken)[:3])
    return changed, f"Took {shown} off the names of {sum(taken.values()):,} genes." if taken else ""


def _ids_within(names: list[str]) -> tuple[list[str], str]:
    found = [_ID_WITHIN.search(name) for name in names]
    longer = sum(match is not None and match[0] != name for match, name in zip(found, names, strict=True))
    changed = [match[1] if match else name for match, name in zip(found, names, strict=True)]
    return changed, f"Read the Ensembl ids within the names of {longer:,} genes." if longer else ""


def _without_numbers(names: list[str]) -> tuple[list[str], str]:
    changed = [_NUMBER_BEHIND.sub("", name) for name in names]
    n_changed = sum(before != after for before, after in zip(names, changed, strict=True))
    if 2 * n_changed <= len(names):
        return names, ""
    return changed, f"Took numbers (versions) off the ends of the names of {n_changed:,} genes."
