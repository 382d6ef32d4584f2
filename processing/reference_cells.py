"""Reference cells: mean cells of known types, which a new cell is compared with gene by gene.

A file may have a few hundred genes, or one platform's bias in all of them. What the encoder makes of a cell is then
drawn to some types whatever the cell is. Two corrections need no label and no other cell of the file:

1. The embedding e of a cell is joined with the one to expect from the reference cells p that are nearest to it in the
   genes that were measured: e' = (e + sum_p w_p e_p) / 2, w = softmax over p of r_p / 0.0075. r_p is Pearson's
   correlation of ranks over these genes (1 for the first gene of a cell, falling evenly to 0 for those it has not). The
   known embedding e_p is the unit vector between those of the reference cell in all genes and of its type's text. It is
   the nearest-profile method with an embedding as its answer (kernel regression: Nadaraya 1964).
2. The similarity s of e' with a label is taken relative to those of all e_p with it, s' = (s - mean) * common / sd',
   sd' = (sd + common) / 2, common = mean over the labels of sd: the Z-norm of speaker verification (Auckenthaler et al.
   2000, Digital Signal Processing 10) with standard deviations drawn halfway to their mean. s' is on the scale of s.
   In mean and sd a type with n reference cells counts as n ** 0.25, so that they hardly follow how many a tissue has.

The file also holds states ("interferon-stimulated"): the direction in which cells move when the genes of a state rise,
found on simulated cells (`training/states`). A text that ends in "state: interferon-stimulated; " is moved along it.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from .genes import GeneVocabulary
from .rank_values import RankedCells

REFERENCE_FILE = "reference_cells.npz"
STATE_PIECE = re.compile(r"\bstate: (?P<state>[^.;:]+?)[.;\s]*$")
"""The end of a text that says what state a cell is in, behind the texts of other aspects."""

# Correlations of a cell with the reference cells of one type lie about so far apart.
_TEMPERATURE = 0.0075
_NAMES = ("names", "types", "states")  # what a file of reference cells may have, by its attribute
# A type with n reference cells counts as n to this power in the scale of similarities.
_TYPE_POWER = 0.25
_CELLS_PER_BLOCK = 256  # a dense matrix of cells x genes is made of so many at once


@dataclass(frozen=True, eq=False)
class ReferenceCells:
    """Ranked genes of cells of known types, and the texts of these.

    Attributes:
        token_ids: uint16, all cells' ids concatenated, highest rank first, without `<cls>`.
        offsets: int64, shape (cells + 1,); cell i is `token_ids[offsets[i]:offsets[i + 1]]`.
        texts: the texts of the types.
        text_of: int64, shape (cells,); the text of each cell.
        embeds: float32, shape (cells, projection_dim), unit length: what one model knows of them; see `known_by`.
        embeds_of: `weights_fingerprint` of that model.
        text_embeds: what it knows of the texts, shape (texts, projection_dim); see `texts_known_by`.
        names: names of the cells, such as "Adult|Brain|Astrocyte"; none in files older than the names.
        types: ontology id of each text; none in these.
        states: names of states, such as "cycling"; none in files older than the states.
        state_directions: float32, shape (states, projection_dim); what each adds to the embedding of a text.
        genes_read: ids that are read of a cell which is compared with them, those of highest rank.
        least: cells; fewer, in the genes of a file, say too little of what a cell may be.

    >>> ids, offsets = np.array([5, 2, 3, 4, 5], dtype=np.uint16), np.array([0, 3, 5])
    >>> cells = ReferenceCells(ids, offsets, ("B cell", "T cell"), np.array([0, 1]))
    >>> vocabulary = GeneVocabulary(["ENSG1", "ENSG2", "ENSG3", "ENSG4"], [1.0] * 4, [""] * 4)
    >>> cells.as_measured(np.arange(4), vocabulary).weights([np.array([6, 4, 5])]).round(2).tolist()
    [[0.0, 1.0]]
    >>> cells.as_measured(np.array([0, -1]), vocabulary).rows.tolist()
    [0]
    """

    token_ids: np.ndarray
    offsets: np.ndarray
    texts: tuple[str, ...]
    text_of: np.ndarray
    embeds: np.ndarray | None = None
    embeds_of: str = ""
    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    text_embeds: np.ndarray | None = None
    states: tuple[str, ...] = ()
    state_directions: np.ndarray | None = None
    genes_read: ClassVar[int] = 1024
    least: ClassVar[int] = 50

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def ids_of(self, cell: int) -> np.ndarray:
        """Return the token ids of one cell, highest rank first."""
        return self.token_ids[self.offsets[cell] : self.offsets[cell + 1]]

    def as_measured(self, gene_index: np.ndarray, vocabulary: GeneVocabulary) -> "MeasuredReference":
        """Return the cells that have any of a file's genes, as the file would have shown them.

        Args:
            gene_index: places of the file's genes in the vocabulary, -1 where unknown.
            vocabulary: that the ids belong to.
        """
        is_measured = np.zeros(vocabulary.n_tokens, dtype=bool)
        is_measured[gene_index[gene_index >= 0] + vocabulary.first_gene_token_id] = True
        lists = [cell[is_measured[cell]] for cell in self._lists()]
        rows = np.array([row for row, cell in enumerate(lists) if len(cell)], dtype=np.int64)
        lists = [lists[row] for row in rows]
        genes = np.flatnonzero(np.bincount(np.concatenate(lists))) if lists else np.empty(0, dtype=np.int64)
        column_of = np.full(vocabulary.n_tokens, -1, dtype=np.int64)
        column_of[genes] = np.arange(len(genes))
        ranks = _centred_unit_rows(_falling_ranks(lists, column_of, len(genes)))
        of_type = self.text_of[rows]
        shares = np.bincount(of_type, minlength=1)[of_type] ** (_TYPE_POWER - 1)
        return MeasuredReference(rows, ranks, column_of, (shares / max(shares.sum(), 1)).astype(np.float32))

    def in_all_genes(self, vocabulary: GeneVocabulary, *, max_length: int) -> list[np.ndarray]:
        """Return what the cell encoder reads of the whole cells: at most `max_length` ids of each, `<cls>` first."""
        cls = np.array([vocabulary.cls_token_id], dtype=np.uint16)
        return [np.concatenate([cls, cell[: max_length - 1]]) for cell in self._lists()]

    def known(self, cell_embeds: Any, text_embeds: Any) -> Any:
        """Return what is known of the cells: the unit vectors between their embeddings and those of their texts.

        Args:
            cell_embeds: what the encoder makes of them in all genes, of unit length, shape (cells, projection_dim);
                array or tensor.
            text_embeds: likewise of `texts`, shape (texts, projection_dim).
        """
        both = cell_embeds + text_embeds[self.text_of]
        return both / (both**2).sum(-1)[:, None] ** 0.5

    def known_by(self, model: Any) -> np.ndarray | None:
        """Return the stored embeddings, if a model (torch module) made them; those of another would mean nothing to it.

        Of weights that are not in memory (offloaded by accelerate) it is not known.
        """
        if not self.embeds_of or any(weight.is_meta for weight in model.state_dict().values()):
            return None
        return self.embeds if self.embeds_of == weights_fingerprint(model) else None

    def texts_known_by(self, model: Any) -> np.ndarray | None:
        """Return the stored embeddings of the texts, if they are those of a model (torch module)."""
        return None if self.known_by(model) is None else self.text_embeds

    def with_embeds(self, embeds: np.ndarray, model: Any, *, text_embeds: np.ndarray | None = None) -> "ReferenceCells":
        """Return the cells with what a model knows of them and of their texts, to be found once and for all."""
        return replace(self, embeds=embeds, embeds_of=weights_fingerprint(model), text_embeds=text_embeds)

    def with_states(self, states: Sequence[str], directions: np.ndarray) -> "ReferenceCells":
        """Return the cells with states and their directions, (states, projection_dim), of the model of `embeds_of`."""
        return replace(self, states=tuple(states), state_directions=directions.astype(np.float32))

    def without_states(self) -> "ReferenceCells":
        """Return the cells without states, for weights that these do not belong to."""
        return replace(self, states=(), state_directions=None)

    def read_states(self, texts: Sequence[str]) -> tuple[list[str], np.ndarray | None]:
        """Return the texts without the pieces on states that are known, and what these add to the embeddings.

        Args:
            texts: such as "cell type: b cell; state: cycling; ".

        Returns:
            The texts, and float32, shape (texts, projection_dim), with rows of 0 for texts without a known state;
            None in its place where no text has one.

        >>> cells = ReferenceCells(np.empty(0, np.uint16), np.array([0]), (), np.empty(0, np.int64))
        >>> cells = cells.with_states(["cycling"], np.array([[0.5, 0.0]]))
        >>> cells.read_states(["cell type: b cell; state: cycling; ", "state: odd"])[0]
        ['cell type: b cell; ', 'state: odd']
        >>> cells.read_states(["cell type: b cell; "])[1] is None
        True
        """
        found = [STATE_PIECE.search(text) for text in texts]
        place_of = {state: place for place, state in enumerate(self.states)}
        places = [place_of.get(match["state"].strip().lower(), -1) if match else -1 for match in found]
        if self.state_directions is None or max(places, default=-1) < 0:
            return list(texts), None
        plain = [
            text[: match.start()] if match and place >= 0 else text
            for text, match, place in zip(texts, found, places, strict=True)
        ]
        directions = np.zeros((len(texts), self.state_directions.shape[1]), dtype=np.float32)
        known = np.flatnonzero(np.array(places) >= 0)
        directions[known] = self.state_directions[[places[row] for row in known]]
        return plain, directions

    def _lists(self) -> list[np.ndarray]:
        return np.split(self.token_ids, self.offsets[1:-1])

    def save(self, path: str | os.PathLike) -> None:
        """Write the cells as compressed numpy arrays; the same cells give the same bytes."""
        with open(path, "wb") as file:
            more = {"texts": np.array(self.texts), "text_of": self.text_of}
            more |= {name: np.array(of) for name in _NAMES if (of := getattr(self, name))}
            if self.embeds is not None:
                more |= {"embeds": self.embeds.astype(np.float16), "embeds_of": np.array(self.embeds_of)}
            if self.text_embeds is not None:
                more |= {"text_embeds": self.text_embeds.astype(np.float16)}
            if self.state_directions is not None:
                more |= {"state_directions": self.state_directions.astype(np.float16)}
            np.savez_compressed(file, allow_pickle=False, token_ids=self.token_ids, offsets=self.offsets, **more)

    @classmethod
    def load(cls, path: str | os.PathLike, vocabulary: GeneVocabulary) -> "ReferenceCells":
        """Read what `save` wrote.

        Raises:
            ValueError: the file has ids that are no genes of the vocabulary.
        """
        with np.load(path, allow_pickle=False) as arrays:
            texts = tuple(str(text) for text in arrays["texts"])
            cells = cls(arrays["token_ids"], arrays["offsets"], texts, arrays["text_of"])
            known = {name: tuple(map(str, arrays[name])) for name in _NAMES if name in arrays}
            cells = replace(cells, **known)
            if "embeds" in arrays:
                cells = replace(cells, embeds=arrays["embeds"].astype(np.float32), embeds_of=str(arrays["embeds_of"]))
            if "text_embeds" in arrays:
                cells = replace(cells, text_embeds=arrays["text_embeds"].astype(np.float32))
            if "state_directions" in arrays:
                cells = cells.with_states(cells.states, arrays["state_directions"])
        genes = range(vocabulary.first_gene_token_id, vocabulary.cls_token_id)
        if cells.token_ids.size and not (cells.token_ids.min() in genes and cells.token_ids.max() in genes):
            raise ValueError(
                f"{path} has gene ids up to {cells.token_ids.max()}, the gene vocabulary has {len(vocabulary)} genes; "
                "download the folder again, its files do not belong together."
            )
        return cells


@dataclass(frozen=True, eq=False)
class MeasuredReference:
    """Reference cells in the genes of a file; made by `ReferenceCells.as_measured`.

    Attributes:
        rows: int64, shape (cells,); their places among all reference cells.
        ranks: float32, shape (cells, genes); falling ranks of their measured genes, rows with mean 0 and length 1.
        column_of: int64, shape (token ids,); the column of each gene in `ranks`, -1 where they have it not.
        shares: float32, shape (cells,); how much each counts in `scale`, 1 in sum.
    """

    rows: np.ndarray
    ranks: np.ndarray
    column_of: np.ndarray
    shares: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def weights(self, cells: Sequence[np.ndarray] | RankedCells) -> np.ndarray:
        """Return how near each of these cells is to some others: float32, shape (other cells, cells), rows sum to 1.

        Args:
            cells: token ids of each cell by falling rank; `<cls>` and genes that no reference cell has are skipped.
        """
        blocks, n_genes = [np.empty((0, len(self)), dtype=np.float32)], self.ranks.shape[1]
        ranks = np.zeros((min(len(cells), _CELLS_PER_BLOCK), n_genes), dtype=np.float32)
        for begin in range(0, len(cells), _CELLS_PER_BLOCK):
            lists = [cells[i] for i in range(begin, min(begin + _CELLS_PER_BLOCK, len(cells)))]
            places = _falling_places(lists, self.column_of)
            ranks[places.rows, places.columns] = places.values
            # The reference cells' ranks have mean 0, so those of the cells need not be moved there.
            products = _products(ranks[: len(lists)], self.ranks)
            ranks[places.rows, places.columns] = 0
            correlation = products / (_spreads(places.lengths, n_genes) * np.float32(_TEMPERATURE))[:, None]
            weights = np.exp(correlation - correlation.max(axis=1, keepdims=True))
            blocks.append(weights / weights.sum(axis=1, keepdims=True))
        return np.concatenate(blocks)

    @staticmethod
    def joined(embeds: Any, weights: Any, known: Any) -> Any:
        """Return the embeddings by the encoder and as the reference cells let expect, in one (float32 arrays or
        tensors).

        Args:
            embeds: embeddings of unit length, shape (other cells, projection_dim).
            weights: from `weights`.
            known: from `ReferenceCells.known`, these cells alone, shape (cells, projection_dim).
        """
        return (embeds + weights @ known) / 2

    def scale(self, similarity: Any) -> "LabelScale":
        """Return what the similarities of these cells with labels, shape (cells, labels), say of the labels."""
        is_tensor = hasattr(similarity, "new_tensor")
        return LabelScale.fitted(similarity, similarity.new_tensor(self.shares) if is_tensor else self.shares)


def _products(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return `rows @ others.T`, float32, by oneDNN where torch has it: twice as fast as numpy on some processors, and
    with the threads of torch, which leave the others to batches."""
    multiply = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
    if multiply is None:
        return rows @ others.T
    return multiply(torch.from_numpy(rows), torch.from_numpy(others), None, "none", [], "").numpy()


def weights_fingerprint(model: Any) -> str:
    """Return what tells the weights of a torch module from others: the same in float32 and bfloat16.

    sha256 over names and values in bfloat16; 40 to 80 ms for 18 million weights.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().bfloat16().float().cpu().contiguous().numpy())
    return digest.hexdigest()


class _Places(NamedTuple):
    """What is not 0 of the falling ranks of lists of genes: the k-th of the n genes of a list is 1 - (k - 1) / n.

    Attributes:
        rows: list of each gene, int64, shape (genes,).
        columns: column of each gene, likewise.
        values: float32, likewise.
        lengths: genes of each list that have a column, int64, shape (lists,).
    """

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    lengths: np.ndarray


def _falling_places(lists: Sequence[np.ndarray], column_of: np.ndarray) -> _Places:
    columns = column_of[np.concatenate(lists)]
    has_column = columns >= 0
    rows = np.repeat(np.arange(len(lists)), [len(cell) for cell in lists])[has_column]
    lengths = np.bincount(rows, minlength=len(lists))
    places = np.arange(len(rows)) - (np.cumsum(lengths) - lengths)[rows]
    return _Places(rows, columns[has_column], (1 - places / lengths[rows]).astype(np.float32), lengths)


def _falling_ranks(lists: Sequence[np.ndarray], column_of: np.ndarray, n_genes: int) -> np.ndarray:
    """Falling ranks, 0 for what is not in a list; float32, shape (lists, genes)."""
    ranks = np.zeros((len(lists), n_genes), dtype=np.float32)
    if lists:
        places = _falling_places(lists, column_of)
        ranks[places.rows, places.columns] = places.values
    return ranks


def _spreads(lengths: np.ndarray, n_genes: int) -> np.ndarray:
    """Length of the falling ranks of lists, after their mean is taken off; infinite without spread.

    The values j / n, for j from 1 to n, have the sum (n + 1) / 2 and the sum of squares (n + 1) (2n + 1) / (6n).

    Args:
        lengths: genes of each list, shape (lists,).
        n_genes: columns, of which all others are 0.

    Returns:
        float32, shape (lists,).
    """
    n = np.maximum(lengths, 1).astype(np.float64)
    squares = (n + 1) * (2 * n + 1) / (6 * n) - (n + 1) ** 2 / (4 * max(n_genes, 1))
    length = np.sqrt(np.maximum(squares, 0)) * (lengths > 0)
    return np.where(length > 1e-6, length, np.inf).astype(np.float32)


def _centred_unit_rows(values: np.ndarray) -> np.ndarray:
    """Give rows mean 0 and length 1, in place, so that a product is Pearson's correlation; one without spread is 0."""
    if values.size:
        values -= values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    values /= np.where(length > 1e-6, length, np.inf).astype(values.dtype)
    return values


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
    def fitted(cls, similarity: Any, shares: Any) -> "LabelScale":
        """Return the scale that similarities of reference cells say.

        Args:
            similarity: array or tensor, float32, (cells, labels).
            shares: likewise, (cells,); how much each cell counts, 1 in sum.

        >>> scale = LabelScale.fitted(np.array([[1.0, 9.0], [3.0, 9.0], [2.0, 12.0]]), np.full(3, 1 / 3))
        >>> scale(np.array([[2.0, 10.0], [3.0, 10.0]])).round(2).tolist()
        [[0.0, 0.0], [1.15, 0.0]]
        """
        mean = shares @ similarity
        own = (shares @ (similarity - mean) ** 2) ** 0.5
        common = own.mean()
        # Where all reference cells are alike (a model that was never trained), nothing is stretched.
        return cls(mean, 2 * common / (own + common) if common > 0 else own + 1)

    def __call__(self, similarity: Any) -> Any:
        """The similarities of any cells with the labels, relative to the reference cells."""
        return (similarity - self.mean) * self.factor
