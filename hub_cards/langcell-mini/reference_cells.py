"""Cells of all types that similarities are compared with: what a label is like to any cell, in the genes of a file.

A text is nearer to some cells than another text is, whatever the cells are, and more so where a file has a few hundred
genes: what is left of every cell then looks like some types. So the similarity s of a cell and a label is taken
relative to those of reference cells with the same label:

    s' = (s - mean) * common / sd',    sd' = (sd + common) / 2,    common = mean over the labels of sd

with mean and sd over the reference cells, of which those genes alone are read that the file has measured. This is the
Z-norm of speaker verification (Auckenthaler et al. 2000, Digital Signal Processing 10) with standard deviations drawn
halfway to their mean, and what querybank normalisation does against hubs (Bogolin et al. 2022, CVPR). s' is on the
scale of s, and of one cell alone: the other cells of the file have no part in it.
"""

import os
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .genes import GeneVocabulary
from .rank_values import RankedCells

REFERENCE_FILE = "reference_cells.npz"


@dataclass(frozen=True, eq=False)
class ReferenceCells:
    """Ranked genes of cells of many types.

    Attributes:
        token_ids: uint16, all cells' ids concatenated, highest rank first, without `<cls>`.
        offsets: int64, shape (cells + 1,); cell i is `token_ids[offsets[i]:offsets[i + 1]]`.
        least: cells; fewer, in the genes of a file, say too little of how similarities with a label spread.

    >>> cells = ReferenceCells(np.array([5, 2, 3, 4, 5], dtype=np.uint16), np.array([0, 3, 5]))
    >>> vocabulary = GeneVocabulary(["ENSG1", "ENSG2", "ENSG3", "ENSG4"], [1.0] * 4, [""] * 4)
    >>> list(cells.as_measured(np.array([3, 1, -1]), vocabulary, max_length=3))
    [array([6, 5, 3], dtype=uint16), array([6, 5], dtype=uint16)]
    """

    token_ids: np.ndarray
    offsets: np.ndarray
    least: ClassVar[int] = 50

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def as_measured(self, gene_index: np.ndarray, vocabulary: GeneVocabulary, *, max_length: int) -> RankedCells:
        """The cells as a file would have shown them that has measured some genes alone.

        Args:
            gene_index: places of the file's genes in the vocabulary, -1 where unknown.
            vocabulary: that the ids belong to.
            max_length: longest list, `<cls>` included.

        Returns:
            The cells that have any of the genes, `<cls>` first; counts are not known (NaN).
        """
        is_measured = np.zeros(vocabulary.n_tokens, dtype=bool)
        is_measured[gene_index[gene_index >= 0] + vocabulary.first_gene_token_id] = True
        cells = [cell[is_measured[cell]] for cell in np.split(self.token_ids, self.offsets[1:-1])]
        cells = [cell for cell in cells if len(cell)]
        cls = np.array([vocabulary.cls_token_id], dtype=np.uint16)
        lists = [np.concatenate([cls, cell[: max_length - 1]]) for cell in cells]
        unknown = np.full(len(cells), np.nan)
        return RankedCells(
            token_ids=np.concatenate(lists) if lists else np.empty(0, dtype=np.uint16),
            offsets=np.cumsum([0, *map(len, lists)], dtype=np.int64),
            n_known_genes=np.array([len(cell) for cell in cells], dtype=np.int64),
            n_counts=unknown,
            n_known_counts=unknown,
        )

    @staticmethod
    def scale(similarity: Any) -> "LabelScale":
        """What the similarities of these cells (cells, labels) say of the labels."""
        return LabelScale.fitted(similarity)

    def save(self, path: str | os.PathLike) -> None:
        """Write the cells as compressed numpy arrays; the same cells give the same bytes."""
        with open(path, "wb") as file:
            np.savez_compressed(file, token_ids=self.token_ids, offsets=self.offsets)

    @classmethod
    def load(cls, path: str | os.PathLike, vocabulary: GeneVocabulary) -> "ReferenceCells":
        """Read what `save` wrote.

        Raises:
            ValueError: the file has ids that are no genes of the vocabulary.
        """
        with np.load(path, allow_pickle=False) as arrays:
            cells = cls(arrays["token_ids"], arrays["offsets"])
        genes = range(vocabulary.first_gene_token_id, vocabulary.cls_token_id)
        if cells.token_ids.size and not (cells.token_ids.min() in genes and cells.token_ids.max() in genes):
            raise ValueError(
                f"{path} has gene ids up to {cells.token_ids.max()}, the gene vocabulary has {len(vocabulary)} genes; "
                "download the folder again, its files do not belong together."
            )
        return cells


@dataclass(frozen=True, eq=False)
class LabelScale:
    """What similarities with each label are made comparable by.

    Attributes:
        mean: float32 array or tensor, shape (labels,); over the reference cells.
        factor: likewise; common standard deviation over the label's own, drawn halfway to it.
    """

    mean: Any
    factor: Any

    @classmethod
    def fitted(cls, similarity: Any) -> "LabelScale":
        """The scale that similarities of reference cells (cells, labels; array or tensor, float32) say.

        >>> scale = LabelScale.fitted(np.array([[1.0, 9.0], [3.0, 9.0], [2.0, 12.0]]))
        >>> scale(np.array([[2.0, 10.0], [3.0, 10.0]])).round(2).tolist()
        [[0.0, 0.0], [1.15, 0.0]]
        """
        mean = similarity.mean(0)
        own = ((similarity - mean) ** 2).mean(0) ** 0.5
        common = own.mean()
        # Where all reference cells are alike (a model that was never trained), nothing is stretched.
        return cls(mean, 2 * common / (own + common) if common > 0 else own + 1)

    def __call__(self, similarity: Any) -> Any:
        """The normalised similarities of any cells with the labels."""
        return (similarity - self.mean) * self.factor

    def to_numpy(self) -> "LabelScale":
        """The same with arrays instead of tensors."""
        parts = (part.cpu() if hasattr(part, "cpu") else part for part in (self.mean, self.factor))
        return LabelScale(*map(np.asarray, parts))

    def undone(self, similarity: Any) -> Any:
        """What the normalised similarities were before."""
        return similarity / self.factor + self.mean
