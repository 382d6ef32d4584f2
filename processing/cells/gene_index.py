"""Where the genes of an opened data set are in the vocabulary of a model."""

import numpy as np

from langcell.processing.cells.cell_source import CellSource
from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor


def gene_index_of(source: CellSource, extractor: LangCellFeatureExtractor) -> np.ndarray:
    """Place of each of the data's genes in the vocabulary, -1 where it is not read; int64, shape (genes,).

    Raises:
        ValueError: Next to none of the genes is known; see `find_genes`.
    """
    return extractor.as_read(source.find_genes(extractor.vocabulary).index)
