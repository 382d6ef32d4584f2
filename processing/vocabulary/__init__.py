"""Gene vocabularies: make them from cells, count genes, read Geneformer's files, and store them.

It uses `cells` and `files`; `tokenization`, `conversion` and the command line enter.
"""

from langcell.processing.vocabulary.geneformer import read_geneformer_v1
from langcell.processing.vocabulary.vocabulary_files import read_vocabulary

__all__ = ["read_geneformer_v1", "read_vocabulary"]
