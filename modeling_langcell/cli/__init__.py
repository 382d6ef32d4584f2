"""The `langcell` command: one file per command, thin over the library.

It uses every room and is the only one that imports `langcell.training`, inside functions. Nobody imports it.
`commands.main` is the entry point.
"""
