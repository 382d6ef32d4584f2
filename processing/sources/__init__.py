"""Where corpora come from: CELLxGENE Census, 10x matrices and their metadata, opened as cells.

It uses `cells`, `labels` and `ontology`; `tokenization` and the command line enter.
"""
