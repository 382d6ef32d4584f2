"""Annotated cells as interactive figures and as one HTML page: `langcell report` and `annotate --report`."""
