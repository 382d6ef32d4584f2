"""Commands that convert a model and share it: convert, verify, export, card and publish.

`commands` adds them to `langcell`; nobody else enters.
"""
