"""`langcell explain` and `langcell audit`: why a label, and whether labels that are there already hold.

`commands` adds them; nobody else enters.
"""
