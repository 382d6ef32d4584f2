"""Cells of AnnData, h5ad, zarr and SOMA: open them, find their counts, read them row by row, and write results back.

The only room that imports `anndata`. Everybody may enter; it uses `files` and the genes of the floor.
Start with `anndata_io.open_cells`.
"""
