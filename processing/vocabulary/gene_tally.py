"""Which genes a corpus has, in how many cells, how strongly, and what they are called: the makings of a vocabulary.

A corpus is read in one streaming pass. Parts of it can be read by different processes or machines and their tallies
merged, in any order: the vocabulary is the same, byte for byte.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.genes import GeneVocabulary
from langcell.processing.vocabulary.gene_biotypes import KEPT_BIOTYPES, GeneEntry
from langcell.processing.vocabulary.gene_medians import MedianSketch, make_vocabulary

_MOST_GENES = 2**16 - 3  # token ids are 16 bits wide, and three are special


@dataclass
class GeneTally:
    """Counts of the genes of a corpus or of a part of it.

    Attributes:
        gene_ids: Ensembl ids, sorted.
        sketch: how often each gene had which relative expression.
        names: for each gene the symbols that sources give it, with the number of cells in those sources.
        biotypes: for each gene the biotypes that sources give it, likewise.
        n_cells: cells that were read.
        n_duplicates: cells that were left out as they stand in another data set too (`is_primary_data` False).
        sources: paths of the sources, sorted.
    """

    gene_ids: list[str]
    sketch: MedianSketch
    names: list[Counter[str]]
    biotypes: list[Counter[str]]
    n_cells: int = 0
    n_duplicates: int = 0
    sources: list[str] = field(default_factory=list)

    @classmethod
    def empty(cls, gene_ids: Collection[str]) -> "GeneTally":
        """Return nothing counted yet."""
        ids = sorted(gene_ids)
        return cls(ids, MedianSketch(len(ids)), [Counter() for _ in ids], [Counter() for _ in ids])

    @classmethod
    def merged(cls, parts: Iterable["GeneTally"]) -> "GeneTally":
        """Return the tally of all parts; in whichever order they come, it is that of one pass.

        Args:
            parts: taken one by one, so that a generator keeps no more than one beside the result.

        Raises:
            ValueError: there are no parts, or two have read the same source.
        """
        whole: GeneTally | None = None
        for part in parts:
            whole = cls.empty(part.gene_ids) if whole is None else whole
            if not set(part.gene_ids) <= set(whole.gene_ids):
                larger = cls.empty({*whole.gene_ids, *part.gene_ids})
                larger._add(whole)
                whole = larger
            whole._add(part)
        if whole is None:
            raise ValueError("There are no parts to merge; give files that langcell genes fit -o part.npz wrote.")
        return whole

    def _add(self, part: "GeneTally") -> None:
        """Add a tally of genes that are all in this one."""
        if twice := sorted(set(self.sources) & set(part.sources)):
            raise ValueError(f"Two parts have counted {twice[0]}; merge each source once.")
        row_of = {gene_id: row for row, gene_id in enumerate(self.gene_ids)}
        rows = [row_of[gene_id] for gene_id in part.gene_ids]
        self.sketch.merge_at(np.array(rows, dtype=np.int64), part.sketch)
        for row, names, biotypes in zip(rows, part.names, part.biotypes, strict=True):
            self.names[row].update(names)
            self.biotypes[row].update(biotypes)
        self.n_cells, self.n_duplicates = self.n_cells + part.n_cells, self.n_duplicates + part.n_duplicates
        self.sources = sorted([*self.sources, *part.sources])

    def save(self, path: str | Path) -> None:
        """Write a part for `merged`, whole or not at all."""
        head = {
            "gene_ids": self.gene_ids,
            "names": self.names,
            "biotypes": self.biotypes,
            "n_cells": self.n_cells,
            "n_duplicates": self.n_duplicates,
            "sources": self.sources,
        }
        with atomic_output(path) as temporary, open(temporary, "wb") as file:
            text = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
            np.savez_compressed(file, **{"head": text, **self.sketch.to_arrays()})  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> "GeneTally":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is none.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"no such file: {path}; give parts that langcell genes fit -o part.npz wrote")
        try:
            with np.load(path) as arrays:
                head = json.loads(arrays["head"].tobytes())
                sketch = MedianSketch.from_arrays(arrays)
        except Exception as error:  # whatever a file of another kind raises
            raise ValueError(f"{path} is no part that langcell genes fit -o part.npz wrote: {error}") from error
        names, biotypes = ([Counter(entry) for entry in head.pop(kind)] for kind in ("names", "biotypes"))
        return cls(sketch=sketch, names=names, biotypes=biotypes, **head)

    def vocabulary(
        self,
        *,
        table: Mapping[str, GeneEntry] | None = None,
        keep: Collection[str] = KEPT_BIOTYPES,
        min_cells: int = 1,
    ) -> tuple[GeneVocabulary, list[dict[str, Any]]]:
        """Return the gene vocabulary: genes of some biotypes that were found in enough cells, sorted by their ids.

        Args:
            table: biotypes, symbols and synonyms by Ensembl id; without it, what the sources say.
            keep: biotypes to keep. Where neither table nor sources know any biotype, all genes are kept.
            min_cells: genes found in fewer cells are left out.

        Returns:
            The vocabulary, and for each of its genes the number of `cells` with it and its `biotype`.

        Raises:
            ValueError: no gene is left, or more than token ids can count.
        """
        biotypes = [self._biotype(row, table) for row in range(len(self.gene_ids))]
        kept = np.array([biotype in set(keep) for biotype in biotypes]) | (not any(biotypes))
        named = [self._names(row, table or {}) for row in range(len(self.gene_ids))]
        vocabulary = make_vocabulary(
            self.sketch,
            self.gene_ids,
            [symbol for symbol, _ in named],
            [synonyms for _, synonyms in named],
            keep=kept,
            min_cells=min_cells,
        )
        if len(vocabulary) > _MOST_GENES:
            raise ValueError(
                f"{len(vocabulary)} genes are left, and a vocabulary holds {_MOST_GENES} at most: give biotypes, or a "
                "higher min_cells."
            )
        cells = dict(zip(self.gene_ids, self.sketch.n_cells_with_gene.tolist(), strict=True))
        biotype_of = dict(zip(self.gene_ids, biotypes, strict=True))
        return vocabulary, [{"cells": cells[i], "biotype": biotype_of[i]} for i in vocabulary.gene_ids]

    def _biotype(self, row: int, table: Mapping[str, GeneEntry] | None) -> str:
        """Biotype of a gene: the table's, or without a table the one with most cells."""
        return _most(self.biotypes[row]) if table is None else table.get(self.gene_ids[row], GeneEntry("")).biotype

    def _names(self, row: int, table: Mapping[str, GeneEntry]) -> tuple[str, tuple[str, ...]]:
        """Symbol and synonyms of a gene: the table's symbol, else the one with most cells."""
        entry = table.get(self.gene_ids[row], GeneEntry(""))
        symbol = entry.symbol or _most(self.names[row])
        others = sorted({*self.names[row], *entry.synonyms} - {symbol, self.gene_ids[row], ""})
        return symbol, tuple(others)


def _most(counts: Counter[str]) -> str:
    """Return the entry with most cells, the first by name among equals; "" of none."""
    return min(counts, key=lambda name: (-counts[name], name), default="")
