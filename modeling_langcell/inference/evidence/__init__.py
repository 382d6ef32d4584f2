"""Why a label: the genes that speak for it and against it, of a group of cells, between two labels, or of one cell.

`explain` is `langcell.explain`. It uses `refinement`, `scoring` and `running`; `auditing`, the command line and the app
enter.
"""
