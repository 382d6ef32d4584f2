"""Scores of any method, refined over the cells of the file as the model's own are.

`score_data` refines what the model says. A rival's scores go through the very same mixture in the same components, so
that a table shows what is due to the method and what to the refinement. The mixture takes similarities; those of the
bundled model differ between the labels of a cell by `SPREAD` (standard deviation, mean of five real sets). Scores of
other methods are brought to this spread: one factor for all cells and labels.
"""

from dataclasses import dataclass

import numpy as np

from langcell.inference.refinement.file_refinement import FileRefinement
from langcell.inference.refinement.mixture import LEAST_CELLS, MOST_CELLS
from langcell.inference.refinement.placing import Block, CellsInFile

SPREAD = 5.0


def as_similarities(scores: np.ndarray) -> np.ndarray:
    """Return scores of another method on the scale of similarities, float64, shape (cells, labels); NaN stays.

    >>> as_similarities(np.array([[0.1, 0.3], [0.2, 0.2], [np.nan, np.nan]])).round(1).tolist()
    [[10.0, 30.0], [20.0, 20.0], [nan, nan]]
    """
    scored = scores[np.isfinite(scores).all(axis=1)]
    spread = scored.std(axis=1).mean() if len(scored) else 0.0
    return scores * (SPREAD / spread) if spread > 0 else scores.astype(np.float64)


def refine_scores(
    similarity: np.ndarray,
    places: np.ndarray | None,
    *,
    known: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray | None:
    """Let the cells of a file name each other.

    Args:
        similarity: similarity of the model, or from `as_similarities`, shape (cells, labels); NaN in all columns for a
            cell that has none, NaN in a whole column for a label of which the method knows nothing.
        places: where the cells lie (`ScoredCells.places`), shape (cells, components); None where nothing says.
        known: int, shape (cells,); column of the label that a cell is known to have, -1 where it is not known.
        seed: random seed of the sample of a large file, and of the folds of known cells.

    Returns:
        Probabilities, float64, shape (cells, labels), NaN where `similarity` has none; None where too few cells have
        similarities and a place.
    """
    if places is None:
        return None
    labels = np.flatnonzero(~np.isnan(similarity).all(axis=0))
    heard = np.asarray(np.isfinite(similarity[:, labels]).all(axis=1))
    used = np.flatnonzero(heard & np.isfinite(places).all(axis=1))
    if len(used) < LEAST_CELLS or len(labels) < 2:
        return None
    column = np.full(similarity.shape[1] + 1, -1)
    column[labels] = np.arange(len(labels))
    codes = np.full(len(places), -1) if known is None else column[known]
    cells = Block(np.where(heard[:, None], similarity[:, labels], np.nan), places, CellsInFile(known=codes))
    refinement = FileRefinement(_SampledRows(_rows(cells, _sample(used, codes, seed))), seed=seed)
    found = np.full(similarity.shape, np.nan)
    rows = np.flatnonzero(heard)
    found[np.ix_(rows, labels)] = refinement.posterior(_rows(cells, rows))
    return found


@dataclass(frozen=True)
class _SampledRows:
    """What `FileRefinement` is fitted to."""

    sample: Block


def _rows(cells: Block, rows: np.ndarray) -> Block:
    assert cells.places is not None
    return Block(cells.similarity[rows], cells.places[rows], cells.cells.rows(rows))


def _sample(used: np.ndarray, codes: np.ndarray, seed: int) -> np.ndarray:
    """Return the cells that the mixture is fitted to, rising; known ones are all among them where there is room."""
    if len(used) <= MOST_CELLS:
        return used
    order = np.random.default_rng(seed).permutation(used)
    return np.sort(order[np.argsort(codes[order] < 0, kind="stable")][:MOST_CELLS])
