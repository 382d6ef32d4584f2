"""Which rows of a gene table are genes: the one rule of all readers for antibodies, guides, hashtags, peaks and so on.

A file may hold more than genes, and what else it holds is often called like a gene: the antibody against CD4 is "CD4".
The tables of 10x Genomics, muon, DropletUtils and Xenium say in a column what each row is. CELLxGENE uses the same
column name for biotypes ("protein_coding"), which say nothing of this kind: all of these are genes.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import sparse

from langcell.processing.cells.matrix_rows import MatrixRows

GENE_EXPRESSION = "Gene Expression"
# How the columns are called, in lower case and without punctuation.
_COLUMNS = frozenset({"featuretypes", "featuretype", "modality", "modalities", "featuremodality", "type"})
_GENES = frozenset(
    {"gene expression", "genes", "gene", "gex", "rna", "mrna", "gene expr", "transcriptome", "expression"}
)
# What people measure beside genes, as the values of such columns call it; words within them suffice.
_OTHERS = (
    "antibody", "antigen", "adt", "protein", "prot", "hto", "hashtag", "hashing", "cite", "abseq", "totalseq",
    "multiplex", "crispr", "guide", "grna", "sgrna", "custom", "peaks", "peak", "atac", "chromatin", "accessibility",
    "negative", "control", "codeword", "blank", "deprecated", "unassigned", "lipid", "metabolite", "methylation",
    "vdj", "spike", "ercc", "tag", "barcode",
)  # fmt: skip
# Biotypes: where a column has one of these, it says what kind of gene each row is, and all rows are genes.
_BIOTYPES = frozenset({"protein coding", "lncrna", "lincrna", "mirna", "snrna", "snorna", "pseudogene", "antisense"})
_ROWS_PER_SAMPLE = 64


def gene_rows(var: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Return which rows of a gene table are genes, and in words what the others are.

    A row is left out where a column that says what rows are calls it something else than gene expression. Where no
    value of the column is known as a kind of feature (biotypes, missing values), it says nothing.

    Returns:
        bool, shape (rows,); and "" or such as `86 Antibody Capture (var["feature_types"])`.

    >>> var = pd.DataFrame({"feature_types": ["Gene Expression", "Antibody Capture"]}, index=["CD4", "CD4.1"])
    >>> gene_rows(var)[0].tolist(), gene_rows(var)[1]
    ([True, False], '1 Antibody Capture (var["feature_types"])')
    """
    is_gene, words = np.ones(len(var), dtype=bool), []
    for position, name in enumerate(var.columns):
        if _plain(name) not in _COLUMNS:
            continue
        values = ["" if pd.isna(value) else str(value).strip() for value in var.iloc[:, position]]
        others = _other_kinds(set(values))
        left_out = np.array([value in others for value in values], dtype=bool) & is_gene
        if left_out.any():
            found = Counter(value for value, gone in zip(values, left_out, strict=True) if gone)
            listed = ", ".join(f"{number:,} {kind}" for kind, number in sorted(found.items()))
            words.append(f'{listed} (var["{name}"])')
            is_gene &= ~left_out
    return is_gene, ", ".join(words)


def _plain(name: object) -> str:
    return "".join(letter for letter in str(name).lower() if letter.isalnum())


def _other_kinds(values: set[str]) -> set[str]:
    """Return those of the values of a column that are no genes."""
    kinds = {value: " ".join(value.lower().replace("_", " ").replace("-", " ").split()) for value in values if value}
    if not _BIOTYPES.isdisjoint(kinds.values()):
        return set()
    if not _GENES.isdisjoint(kinds.values()):
        return {value for value, kind in kinds.items() if kind not in _GENES}
    return {value for value, kind in kinds.items() if any(word in _OTHERS for word in kind.split())}


class ChosenColumns:
    """Rows of a matrix with some of its columns alone; see `MatrixRows`."""

    def __init__(self, rows: MatrixRows, chosen: np.ndarray) -> None:
        self._rows, self._columns = rows, np.flatnonzero(chosen)
        self.shape = (rows.shape[0], len(self._columns))
        self.dtype = rows.dtype

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """See `MatrixRows.read`."""
        return sparse.csr_matrix(self._rows.read(start, stop)[:, self._columns])

    def sample(self) -> Iterator[np.ndarray]:
        """Yield the values of the first, middle and last rows: what stands in the other columns does not count."""
        n_rows = self.shape[0]
        for start in sorted({0, max(0, n_rows // 2 - _ROWS_PER_SAMPLE), max(0, n_rows - _ROWS_PER_SAMPLE)}):
            yield self.read(start, min(start + _ROWS_PER_SAMPLE, n_rows)).data
