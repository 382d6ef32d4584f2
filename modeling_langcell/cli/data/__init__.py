"""Commands that prepare training data: check, tokenize, shards and gene vocabularies.

`commands` adds them to `langcell`; nobody else enters.
"""
