"""What cells come in beside h5ad files and zarr folders, made readable as one of these.

`kinds` says by content what a path is, `readable` gives an AnnData store for it. It uses `files`; `cells` opens what it
gives.
"""
