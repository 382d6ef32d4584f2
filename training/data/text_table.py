"""The distinct descriptions of a run, their cell types, and their paraphrases."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from langcell.processing.ontology.description_templates import paraphrase
from langcell.processing.shards.writer import read_descriptions

UNKNOWN = -1
# Forms of simulated cells' texts that are not the plain one.
_PARAPHRASES = ("name", "synonym", "definition", "written", "narrower")


@dataclass(frozen=True)
class Descriptions:
    """The distinct descriptions of all shard folders of a run, and their cell types.

    Codes are positions in these lists, the same on every process. With `variants` above 1 every description has that
    many texts (by `langcell.processing.ontology.description_templates.paraphrase`; variant 0 is the plain text): the
    text of a code and a variant has the row `code * variants + variant`.

    Attributes:
        texts: the plain text of each description.
        cell_types: the cell type code of each description, -1 where it has none.
        terms: the ontology id of each cell type code.
        fixed: codes of texts that are paraphrases themselves (a synonym, a definition), and are read as they are.
        variants: texts of each description.
        seed: random seed of the paraphrases.
        dropout: probability that a paraphrase leaves an aspect out.
    """

    texts: list[str]
    cell_types: np.ndarray
    terms: list[str]
    fixed: frozenset[int] = frozenset()
    variants: int = 1
    seed: int = 0
    dropout: float = 0.0

    @staticmethod
    def read(folders: Sequence[str | Path]) -> tuple["Descriptions", list[dict[int, int]]]:
        """Join the description tables of shard folders.

        Returns:
            The descriptions, and for each folder a map from its own description ids to codes. Equal texts of the same
            cell type get one code, whatever folder they are in; an empty text gets none.
        """
        code_of: dict[tuple[str, str], int] = {}
        maps: list[dict[int, int]] = []
        fixed: set[int] = set()
        for folder in folders:
            maps.append({})
            for own, row in enumerate(read_descriptions(folder)):
                if row.text:
                    code = code_of.setdefault((row.text, row.cell_type_ontology_term_id), len(code_of))
                    maps[-1][own] = code
                    if row.form in _PARAPHRASES:
                        fixed.add(code)
        terms = sorted({term for _, term in code_of if term})
        type_of = {term: code for code, term in enumerate(terms)}
        cell_types = np.array([type_of.get(term, UNKNOWN) for _, term in code_of], dtype=np.int64)
        return Descriptions([text for text, _ in code_of], cell_types, terms, frozenset(fixed)), maps

    def paraphrased(self, variants: int, *, seed: int, dropout: float = 0.0) -> "Descriptions":
        """Return the same descriptions with several texts each.

        Args:
            variants: texts of each description, the plain one among them.
            seed: random seed of templates and dropped aspects.
            dropout: probability that an aspect other than the cell type is left out of a paraphrase.

        Raises:
            ValueError: a number is out of range, or there is dropout but no paraphrase to drop from.
        """
        if not 0 <= dropout < 1:
            raise ValueError(f"The aspect dropout is {dropout}; it has to be at least 0 and less than 1.")
        if variants < 1:
            raise ValueError(f"A description has {variants} texts; it needs at least 1, the plain one.")
        if dropout and variants == 1:
            raise ValueError("Aspects are dropped from paraphrases alone: give 2 texts a description or more.")
        return replace(self, variants=variants, seed=seed, dropout=dropout)

    def text(self, row: int) -> str:
        """Return the text in a row; the same in every run with this seed."""
        code, variant = divmod(row, self.variants)
        variant = 0 if code in self.fixed else variant
        return paraphrase(self.texts[code], variant, seed=self.seed, dropout=self.dropout)

    def all_texts(self) -> list[str]:
        """Return the texts of all rows, for a text encoder that is frozen."""
        return [self.text(row) for row in range(len(self.texts) * self.variants)]


def choose_variants(codes: np.ndarray, *, variants: int, draw: int) -> np.ndarray:
    """Return a variant for each code; equal codes get the same one, so that a batch holds each description in one form.

    Args:
        codes: int64.
        variants: how many there are.
        draw: what the choice follows from, such as a number drawn for the batch.

    >>> choose_variants(np.array([3, 8, 3, 5]), variants=8, draw=7).tolist()
    [2, 6, 2, 2]
    """
    if variants == 1:
        return np.zeros(len(codes), dtype=np.int64)
    # One round of SplitMix64: neighbouring codes give unrelated numbers.
    with np.errstate(over="ignore"):
        mixed = codes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(draw)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) % np.uint64(variants)).astype(np.int64)
