"""Imported, for its effects alone, by the server that the workers of a large run are forked from.

The machine code of `rank_kernel` is made or loaded here, once, and not by each worker; and the garbage collector leaves
alone all that the server holds. So workers share these pages instead of copying them: 130 MB less for each.
"""

import gc

import numpy as np
from scipy.sparse import csr_matrix

from langcell.processing.genes import GeneVocabulary
from langcell.processing.tokenization.rank_kernel import rank_encode_compiled

rank_encode_compiled(
    csr_matrix(np.ones((1, 1), dtype=np.float32)), np.arange(1), GeneVocabulary(["ENSG0"], np.ones(1), [""])
)
gc.collect()
gc.freeze()
