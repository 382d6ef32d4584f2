"""Non-zero median of every gene over a corpus, in one pass and in parts that can be merged."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from scipy import sparse
from tqdm import tqdm

from langcell.processing.cells.anndata_io import Source, open_cells
from langcell.processing.genes import GeneVocabulary
from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.simulation.simulator import CellSimulator, SimulationConfig

# A bin is one value of the exponent and the first 6 bits of the fraction of a float32: 64 bins per factor of two.
_FRACTION_BITS = 6
_SHIFT = 23 - _FRACTION_BITS
# Counts per 10k between 2**-14 (one count in 160 million) and 2**14 (all of them); values outside go to the end bins.
_LOWEST, _HIGHEST = (int(np.float32(2.0**power).view(np.uint32)) >> _SHIFT for power in (-14, 14))
_GENES_AT_ONCE = 4_096  # whose bins are summed up at once, 60 MB
RELATIVE_ERROR = 2.0**-_FRACTION_BITS


class MedianSketch:
    """Counts how often each gene had which relative expression, as a histogram with 64 bins per factor of two.

    The median found lies in the bin of the true one: it is off by at most `RELATIVE_ERROR` (2**-6, 1.6 %) of it, and
    usually by far less, as a value is interpolated within its bin. This holds for medians between 2**-14 and 2**14
    counts per 10k, which is every value that a cell of fewer than 160 million counts can have. Memory is 7 kB a gene,
    whatever the number of cells, and merging the sketches of parts, in any order, gives the same as one pass over all.

    Args:
        n_genes: Number of genes, in the order of the columns of the counts.

    >>> sketch = MedianSketch(2)
    >>> sketch.add(sparse.csr_matrix([[1.0, 3.0], [0.0, 5.0], [3.0, 1.0]]))
    >>> sketch.n_cells_with_gene
    array([2, 3])
    >>> sketch.medians().round(-2)
    array([5000., 7500.])
    """

    def __init__(self, n_genes: int) -> None:
        self._histogram = np.zeros((n_genes, _HIGHEST - _LOWEST + 1), dtype=np.uint32)

    def __len__(self) -> int:
        return len(self._histogram)

    @property
    def n_cells_with_gene(self) -> np.ndarray:
        """int64, shape (genes,); cells in which each gene was found."""
        return self._histogram.sum(axis=1, dtype=np.int64)

    def add(self, counts: sparse.csr_matrix, *, gene_index: np.ndarray | None = None) -> None:
        """Count the cells of a chunk.

        Args:
            counts: Cells x columns, non-negative, linear; the total of a cell is taken over all columns.
            gene_index: int, shape (columns,); gene of each column, -1 to leave it out; columns of the same gene are
                summed. By default column i is gene i.

        Raises:
            ValueError: The number of columns does not fit.
        """
        n_genes = len(self._histogram)
        index = np.arange(n_genes) if gene_index is None else np.asarray(gene_index)
        n_columns = counts.get_shape()[1]
        if len(index) != n_columns:
            raise ValueError(f"The counts have {n_columns} columns, but {len(index)} genes are expected.")
        totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        known = np.flatnonzero(index >= 0)
        if len(np.unique(index[known])) < len(known):
            shape = (len(index), n_genes)
            merge = sparse.csr_matrix((np.ones(len(known)), (known, index[known])), shape=shape)
            counts = sparse.csr_matrix(counts @ merge)
            index = np.arange(n_genes)
        with np.errstate(divide="ignore"):  # a cell without counts has no entries to scale
            per_10k = (counts.data * np.repeat(1e4 / totals, np.diff(counts.indptr))).astype(np.float32)
        genes = index[counts.indices]
        kept = (genes >= 0) & (per_10k > 0)
        bins = np.clip((per_10k[kept].view(np.uint32) >> _SHIFT).astype(np.int64), _LOWEST, _HIGHEST) - _LOWEST
        np.add.at(self._histogram.ravel(), genes[kept] * self._histogram.shape[1] + bins, 1)

    def merge(self, other: "MedianSketch") -> None:
        """Add what another sketch of the same genes has counted."""
        if len(self) != len(other):
            raise ValueError(f"Cannot merge sketches of {len(self)} and {len(other)} genes.")
        self.merge_at(np.arange(len(self)), other)

    def merge_at(self, genes: np.ndarray, other: "MedianSketch") -> None:
        """Add what a sketch of other genes has counted.

        Args:
            genes: int, shape (genes of `other`,); which gene of this sketch each of them is, none twice.
            other: the other sketch.
        """
        self._histogram[genes] += other._histogram

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what was counted, to be stored: places in the histogram that are not empty, and their counts."""
        flat = self._histogram.ravel()
        place = np.flatnonzero(flat)
        return {"n_genes": np.array(len(self)), "place": place, "count": flat[place]}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "MedianSketch":
        """Return a sketch from what `to_arrays` gave."""
        sketch = cls(int(arrays["n_genes"]))
        sketch._histogram.ravel()[arrays["place"]] = arrays["count"]
        return sketch

    def medians(self) -> np.ndarray:
        """Return float64, shape (genes,); non-zero medians in counts per 10k, NaN for genes that were never found."""
        blocks = [self._histogram[start : start + _GENES_AT_ONCE] for start in range(0, len(self), _GENES_AT_ONCE)]
        return np.concatenate([np.zeros(0), *map(_medians_of, blocks)])


def _medians_of(histogram: np.ndarray) -> np.ndarray:
    cumulative = np.cumsum(histogram, axis=1, dtype=np.int64)
    total = cumulative[:, -1]
    # The two middle ranks are one where the number of cells is odd.
    middle = [_value_at(rank, histogram, cumulative) for rank in ((total - 1) // 2, total // 2)]
    return np.where(total > 0, np.mean(middle, axis=0), np.nan)


def _value_at(rank: np.ndarray, histogram: np.ndarray, cumulative: np.ndarray) -> np.ndarray:
    """float64, shape (genes,); the value of each gene at its rank from 0, interpolated within the bin."""
    bins = (cumulative <= rank[:, None]).sum(axis=1).clip(max=cumulative.shape[1] - 1)
    row = np.arange(len(bins))
    in_bin = histogram[row, bins].astype(np.int64)
    position = (rank - (cumulative[row, bins] - in_bin) + 0.5) / np.maximum(in_bin, 1)
    edge_bits = np.arange(_LOWEST, _HIGHEST + 2, dtype=np.uint32) << np.uint32(_SHIFT)
    edges = edge_bits.view(np.float32).astype(np.float64)
    return edges[bins] + position * (edges[bins + 1] - edges[bins])


def fit_medians(chunks: Iterable[tuple[sparse.csr_matrix, np.ndarray | None]], n_genes: int) -> MedianSketch:
    """Pass once over chunks of counts.

    Args:
        chunks: Pairs of a csr matrix (cells x columns) and the gene index of its columns (None: column i is gene i).
        n_genes: Number of genes.
    """
    sketch = MedianSketch(n_genes)
    for counts, gene_index in chunks:
        sketch.add(counts, gene_index=gene_index)
    return sketch


def make_vocabulary(
    sketch: MedianSketch,
    gene_ids: list[str],
    symbols: list[str],
    synonyms: list[tuple[str, ...]],
    *,
    keep: np.ndarray,
    min_cells: int = 1,
) -> GeneVocabulary:
    """Return the gene vocabulary of a corpus.

    Args:
        sketch: What was counted, one row a gene.
        gene_ids: Ensembl ids, in the order of the sketch; the vocabulary keeps that order.
        symbols: Symbol of each gene.
        synonyms: Other names of each gene.
        keep: bool, shape (genes,); genes that may enter (protein-coding, miRNA).
        min_cells: Genes found in fewer cells are left out.

    Raises:
        ValueError: No gene is left.
    """
    found = np.flatnonzero(keep & (sketch.n_cells_with_gene >= max(min_cells, 1)))
    if not found.size:
        raise ValueError(
            f"No gene to keep was found in {min_cells} cells or more; give more cells, or lower min_cells."
        )
    return GeneVocabulary(
        gene_ids=[gene_ids[i] for i in found],
        medians=sketch.medians()[found],
        symbols=[symbols[i] for i in found],
        synonyms=[synonyms[i] for i in found],
    )


def fit_vocabulary_from_profiles(
    profiles: CellProfiles,
    *,
    n_cells: int = 20_000,
    seed: int = 0,
    config: SimulationConfig | None = None,
    real: Sequence[Source] = (),
    min_cells: int = 10,
    progress: bool = True,
) -> GeneVocabulary:
    """Return the gene vocabulary of simulated cells and, if given, real ones: the genes of `profiles.in_vocabulary`.

    Args:
        profiles: What the cells are drawn from.
        n_cells: Simulated cells.
        seed: Seed of the simulation.
        config: What simulated cells go through; by default sampling noise alone, as the medians set a scale.
        real: h5ad files, zarr folders or AnnData objects with raw counts and Ensembl ids or symbols as var_names.
        min_cells: Genes found in fewer cells are left out.
        progress: Show a progress bar.

    Raises:
        ValueError: A real data set has no raw counts, or no gene of the profiles.
    """
    n_genes = len(profiles.gene_ids)
    names = GeneVocabulary(profiles.gene_ids, np.ones(n_genes), profiles.symbols, profiles.synonyms)
    simulator = CellSimulator(profiles, config if config is not None else SimulationConfig.plain())
    rng = np.random.default_rng(seed)

    def chunks() -> Iterator[tuple[sparse.csr_matrix, np.ndarray | None]]:
        for start in range(0, n_cells, 2_000):
            yield simulator.draw(min(2_000, n_cells - start), rng).counts, None
        for source in real:
            with open_cells(source) as cells:
                gene_index = cells.find_genes(names).index
                for chunk in cells.chunks():
                    yield chunk.counts, gene_index

    bar = tqdm(chunks(), desc="gene medians", unit="chunk", disable=not progress)
    sketch = fit_medians(bar, n_genes)
    return make_vocabulary(
        sketch, profiles.gene_ids, profiles.symbols, profiles.synonyms, keep=profiles.in_vocabulary, min_cells=min_cells
    )
