"""Labels that somebody knows of some cells, in a table of their own, as Loupe Browser exports one."""

from pathlib import Path

import pandas as pd


def read_known(path: str | Path) -> pd.Series:
    """Read known labels from a CSV or TSV file.

    Args:
        path: table with a heading: cell names in the first column, labels in the second. Further columns are not read.

    Returns:
        Labels, with the names of the cells as index; cells without a label are left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: fewer than two columns, or no label.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is no file; give a table of cells and labels.")
    try:
        with Path(path).open(encoding="utf-8-sig") as stream:
            separator = "\t" if "\t" in stream.readline() else ","
        table = pd.read_csv(path, sep=separator, dtype=str, usecols=range(2), encoding="utf-8-sig")
    except ValueError as error:  # pandas' errors of parsing are of this kind, too
        raise ValueError(
            f"{path} is no table of two columns; give a CSV file with a heading, then cell and label per line."
        ) from error
    names, labels = table.iloc[:, 0].str.strip(), table.iloc[:, 1].str.strip()
    known = labels.notna() & (labels != "")
    if not known.any():
        raise ValueError(f"{path} has no label in its second column; give cell and label per line.")
    return pd.Series(labels[known].to_numpy(object), index=pd.Index(names[known], dtype=object), dtype=object)
