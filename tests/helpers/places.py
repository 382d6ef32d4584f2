"""Folders that tests need: the checkout, these helpers, and the real data of whoever has them."""

import os
from pathlib import Path

HELPERS = Path(__file__).resolve().parent
ROOT = HELPERS.parents[1]

REAL_DATA_VARIABLE = "LANGCELL_TEST_DATA"
"""Environment variable that names a folder of real data; CONTRIBUTING.md lists its files."""


def real_data_folder() -> Path | None:
    """Return the folder of real data, or None where the variable is not set.

    Raises:
        ValueError: the variable names no folder; a misspelt path would skip tests in silence.
    """
    named = os.environ.get(REAL_DATA_VARIABLE)
    if not named:
        return None
    folder = Path(named).resolve()
    if not folder.is_dir():
        raise ValueError(f"{REAL_DATA_VARIABLE} is {named!r}, which is no folder; CONTRIBUTING.md says what it holds.")
    return folder
