"""Gene vocabularies: make them from cells, count genes, read Geneformer's files, and store them.

It uses `cells` and `files`; `tokenization`, `conversion` and the command line enter.
"""
