"""What a file says of how it was named: uns["langcell"], where it has any."""

from pathlib import Path
from typing import Any

import numpy as np

from langcell.processing.cells.anndata_io import open_elements

_KEY = "langcell"


def read_settings(source: Any) -> dict[str, Any]:
    """Return uns["langcell"] of an AnnData or a file; {} where there is none, or in containers of other kinds."""
    if not isinstance(source, str | Path):
        stored = source.uns.get(_KEY, {})
    else:
        try:
            with open_elements(source) as (root, read):
                stored = read(root[f"uns/{_KEY}"]) if f"uns/{_KEY}" in root else {}
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
        ):  # no AnnData; `open_cells` says what is wrong
            return {}
    return {str(name): _plain(value) for name, value in dict(stored).items()}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
