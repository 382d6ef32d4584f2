"""Labelled cells to learn from: which rows, which of them for validation, and balanced batches of changing views."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.cells.gene_index import gene_index_of
from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.rank_values import RankedCells, rank_encode

logger = logging.getLogger("langcell")

# Of a type with fewer cells none are held out unless the caller says so: they are worth more in the training.
LEAST_CELLS_TO_HOLD_OUT = 10
VALIDATION_SHARE = 0.2


def choose_rows(
    truth: np.ndarray,
    *,
    shots: int | None,
    rows: Sequence[int] | np.ndarray | None = None,
    names: Sequence[str],
    seed: int,
    where: str = "The data",
) -> np.ndarray:
    """Return the rows to learn from, validation included: `shots` cells of each type, or all.

    A type with fewer cells than `shots` gives all that it has, and the log says so, as it does of a type with a single
    cell where more were asked for.

    Args:
        truth: int64, shape (cells,); code of each cell's type, -1 for a cell without one, which is never chosen.
        shots: cells of each type.
        rows: rows to choose among; all when None.
        names: names of the types, by code.
        seed: random seed of the draw.
        where: file and column, for the message.

    Returns:
        int64, ascending.

    Raises:
        ValueError: there are no such rows, or fewer than two types have a labelled cell.

    >>> choose_rows(np.array([0, 0, 1, -1, 1]), shots=1, rows=[0, 2, 3], names="AB", seed=0)
    array([0, 2])
    """
    pool = _labelled_rows(truth, rows)
    codes = np.unique(truth[pool])
    if len(codes) < 2:
        found = f"only the type {names[codes[0]]!r}" if len(codes) else "no type"
        raise ValueError(
            f"{where} has {found} in the {len(pool)} labelled cells to choose from; fine-tuning needs two types."
        )
    single = [str(names[code]) for code in codes if (truth[pool] == code).sum() == 1]
    # Whoever gives rows has drawn them: one cell of a type may be all that was meant.
    if single and rows is None and shots != 1:
        logger.warning(
            "Types with a single cell, which is learned by heart and never held out: %s. Label more cells of them, or "
            "remove the label to leave them out.",
            ", ".join(single),
        )
    if shots is None:
        return pool
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(pool[truth[pool] == code])[:shots] for code in codes]
    if few := [f"{names[code]} ({len(part)})" for code, part in zip(codes, chosen, strict=True) if len(part) < shots]:
        logger.warning("Types with fewer than %d cells, which give all that they have: %s.", shots, ", ".join(few))
    return np.sort(np.concatenate(chosen))


def hold_out(truth: np.ndarray, rows: np.ndarray, *, share: float | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split chosen rows, type by type, into those to train on and those to watch (validation).

    Args:
        truth: int64, shape (cells,); code of each cell's type.
        rows: from `choose_rows`.
        share: share of each type's cells, rounded, all but one at most; 0 for no validation. When None a fifth of the
            types with 10 cells or more, and none of the others.
        seed: random seed of the draw.

    Returns:
        Training and validation rows, int64, ascending.

    Raises:
        ValueError: the share is given and too small to hold out a single cell.
    """
    rng = np.random.default_rng([seed, 1])
    held = []
    for code in np.unique(truth[rows]):
        of_type = rng.permutation(rows[truth[rows] == code])
        automatic = VALIDATION_SHARE if len(of_type) >= LEAST_CELLS_TO_HOLD_OUT else 0.0
        n_held = min(round((automatic if share is None else share) * len(of_type)), len(of_type) - 1)
        held.append(of_type[:n_held])
    validation = np.sort(np.concatenate(held))
    if share and not len(validation):
        raise ValueError(
            f"validation_share {share} of so few cells is none; give a larger one, or 0 for no early stopping."
        )
    return np.setdiff1d(rows, validation), validation


def _labelled_rows(truth: np.ndarray, rows: Sequence[int] | np.ndarray | None) -> np.ndarray:
    if rows is None:
        return np.flatnonzero(truth >= 0)
    chosen = np.unique(np.asarray(rows, dtype=np.int64))
    if len(chosen) and not (chosen[0] >= 0 and chosen[-1] < len(truth)):
        raise ValueError(f"rows go from {chosen[0]} to {chosen[-1]}; the data has {len(truth)} cells, 0 first.")
    return chosen[truth[chosen] >= 0]


@dataclass(frozen=True, eq=False)
class RankedRows:
    """Cells with all of their known genes ranked, and their types.

    Attributes:
        ranked: cells, untruncated, so that a view without some genes can show others.
        codes: int64, shape (cells,); index of each cell's label.
        extractor: pads, and knows the longest input.
        positions: int64, shape (cells,); place of each cell in `ranked`.
    """

    ranked: RankedCells
    codes: np.ndarray
    extractor: LangCellFeatureExtractor
    positions: np.ndarray

    @classmethod
    def read(
        cls, source: CellSource, rows: np.ndarray, codes: np.ndarray, extractor: LangCellFeatureExtractor
    ) -> "RankedRows":
        """Read and rank some rows of a data set.

        Args:
            source: the opened data.
            rows: int64, ascending.
            codes: int64, shape (rows,).
            extractor: extractor of the model.

        Raises:
            ValueError: unknown genes, or values that are no counts.
        """
        gene_index = gene_index_of(source, extractor)
        ranked = rank_encode(source.counts_of(rows), gene_index, extractor.vocabulary, max_length=None)
        return cls(ranked, codes, extractor, np.arange(len(rows)))

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def has_known_gene(self) -> np.ndarray:
        """bool, shape (cells,)."""
        return self.ranked.n_known_genes[self.positions] > 0

    def subset(self, cells: np.ndarray, codes: np.ndarray) -> "RankedRows":
        """Return some of the cells, with codes of their own."""
        return RankedRows(self.ranked, codes, self.extractor, self.positions[cells])

    def views(
        self, cells: np.ndarray, *, gene_dropout: float = 0.0, rng: np.random.Generator | None = None
    ) -> list[np.ndarray]:
        """Return the token ids of some cells, each at most as long as the model reads.

        With `gene_dropout`, a share of each cell's genes, drawn between 0 and it, is left out, as if they had not been
        counted; what remains keeps its order. A few cells seen in many such views are not learned by heart.

        Args:
            cells: positions.
            gene_dropout: largest share of the genes left out.
            rng: needed for it.
        """
        ids = [self.ranked[position] for position in self.positions[cells]]
        if gene_dropout:
            assert rng is not None, "gene_dropout draws"
            ids = [_without_some_genes(cell, gene_dropout, rng) for cell in ids]
        return [cell[: self.extractor.max_length] for cell in ids]

    def pad(self, views: Sequence[np.ndarray], cells: np.ndarray) -> dict[str, Tensor]:
        """Return the views of some cells as model inputs.

        Args:
            views: from `views`.
            cells: their positions.

        Returns:
            cell_input_ids and cell_attention_mask, (cells, genes), and codes, (cells,).
        """
        padded = self.extractor.pad(list(views))
        return {
            **{name: torch.from_numpy(padded[name]) for name in padded},
            "codes": torch.from_numpy(self.codes[cells]),
        }


def _without_some_genes(ids: np.ndarray, largest_share: float, rng: np.random.Generator) -> np.ndarray:
    kept = rng.random(len(ids)) >= largest_share * rng.random()
    kept[0] = True  # <cls>
    return ids[kept]


def cell_weights(codes: np.ndarray, balance: str) -> np.ndarray:
    """Return the weight of each training cell in the loss, float32, mean 1.

    With "weights" all types weigh the same in total (scikit-learn's "balanced"), else all cells do.

    >>> [round(float(weight), 2) for weight in cell_weights(np.array([0, 0, 0, 1]), "weights")]
    [0.67, 0.67, 0.67, 2.0]
    """
    if balance != "weights":
        return np.ones(len(codes), dtype=np.float32)
    counts = np.bincount(codes)
    return (len(codes) / ((counts > 0).sum() * counts[codes])).astype(np.float32)


def endless_batches(
    codes: np.ndarray, batch_size: int, *, balance: str, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield the positions of the cells of each batch, for ever; every batch is full.

    Args:
        codes: int64, shape (cells,); type of each training cell.
        batch_size: cells a batch.
        balance: "sampling": the types take turns, so that a rare one is seen as often as a frequent one, and each
            goes through its cells in random order before one comes again. Otherwise all cells do.
        rng: rng of the order.

    >>> batches = endless_batches(np.array([0, 0, 0, 0, 1]), 4, balance="sampling", rng=np.random.default_rng(0))
    >>> sorted(next(batches).tolist())[2:]
    [4, 4]
    """
    groups = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    turns = _turns(groups if balance == "sampling" else [np.arange(len(codes))], rng)
    while True:
        yield np.array([next(turns) for _ in range(batch_size)])


def _turns(groups: list[np.ndarray], rng: np.random.Generator) -> Iterator[Any]:
    """One member of each group in turn, the groups in a new order each round."""
    members = [_shuffled_for_ever(group, rng) for group in groups]
    while True:
        for group in rng.permutation(len(groups)):
            yield next(members[group])


def _shuffled_for_ever(group: np.ndarray, rng: np.random.Generator) -> Iterator[Any]:
    while True:
        yield from rng.permutation(group)
