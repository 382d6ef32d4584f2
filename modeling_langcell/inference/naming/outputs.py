"""How the file of named cells is called where nobody names it."""

from pathlib import Path

_KINDS = (".gz", ".h5ad", ".h5mu", ".h5", ".loom", ".zarr")


def named_output(cells: str | Path) -> Path:
    """Return NAME_named.h5ad in the current folder, for cells at a path.

    >>> str(named_output("runs/pbmc.filtered.h5ad.gz")), str(named_output("filtered_feature_bc_matrix/"))
    ('pbmc.filtered_named.h5ad', 'filtered_feature_bc_matrix_named.h5ad')
    """
    name = Path(cells).name
    while any(name.endswith(kind) and name != kind for kind in _KINDS):
        name = name.removesuffix(Path(name).suffix)
    return Path(f"{name}_named.h5ad")
