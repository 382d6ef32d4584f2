"""Which files make up a text matrix: the folders of Cell Ranger, STARsolo, alevin (fry) and kallisto | bustools.

| tool | matrix | genes | cells |
|---|---|---|---|
| Cell Ranger 3, STARsolo | PREFIXmatrix.mtx | PREFIXfeatures.tsv | PREFIXbarcodes.tsv |
| Cell Ranger 2 | PREFIXmatrix.mtx | PREFIXgenes.tsv | PREFIXbarcodes.tsv |
| alevin, alevin-fry | quants_mat.mtx (cells x genes) | quants_mat_cols.txt | quants_mat_rows.txt |
| kallisto, bustools | NAME.mtx (cells x genes) | NAME.genes.txt, NAME.genes.names.txt | NAME.barcodes.txt |

Each file may be a .gz.
"""

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_ENDING = "matrix.mtx"


@dataclass(frozen=True)
class MatrixFiles:
    """The files of one text matrix.

    Attributes:
        matrix: the entries.
        features: a line for each gene: id, or id, name and type.
        barcodes: a line for each cell.
        names: a line for each gene with its symbol, where that is a file of its own.
    """

    matrix: Path
    features: Path
    barcodes: Path
    names: Path | None = None

    @property
    def cells_first(self) -> bool:
        """Whether the tool writes cells x genes: alevin and kallisto do."""
        return not _plain(self.features).endswith(".tsv")

    @property
    def all(self) -> list[Path]:
        """The files that there are."""
        return [file for file in (self.matrix, self.features, self.barcodes, self.names) if file is not None]


def find_matrix(place: Path) -> Path | None:
    """Return the one text matrix of a folder, or the file itself; None where there is none.

    A file that ends in `matrix.mtx` goes before others, such as STARsolo's `UniqueAndMult-EM.mtx`.

    Raises:
        ValueError: there are several.
    """
    if not place.is_dir():
        return place
    matrices = sorted(path for path in place.iterdir() if _plain(path).endswith(".mtx"))
    found = [path for path in matrices if _plain(path).endswith(_ENDING)] or matrices
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:4])
        raise ValueError(
            f"{place} holds {len(found)} matrices ({names}{', ...' if len(found) > 4 else ''}); name the file of one."
        )
    return found[0] if found else None


def matrix_files(place: Path) -> MatrixFiles:
    """Return the files that make up the text matrix of a folder, or that belong to a matrix.

    Raises:
        FileNotFoundError: one is missing; the message names those that would do.
        ValueError: there are several matrices.
    """
    matrix = find_matrix(place)
    if matrix is None:
        raise FileNotFoundError(f"{place}: no matrix.mtx or matrix.mtx.gz")
    stem = _plain(matrix).removesuffix(".mtx")
    prefix = stem.removesuffix("matrix")
    base = stem.split(".")[0]  # cells_x_genes of cells_x_genes.mature
    features = [f"{prefix}features.tsv", f"{prefix}genes.tsv", f"{stem}.genes.txt", f"{base}.genes.txt"]
    barcodes = [f"{prefix}barcodes.tsv", f"{stem}.barcodes.txt", f"{base}.barcodes.txt"]
    names = [f"{stem}.genes.names.txt", f"{base}.genes.names.txt"]
    if stem == "quants_mat":
        features, barcodes, names = ["quants_mat_cols.txt"], ["quants_mat_rows.txt"], []
    elif prefix == stem:  # no "matrix" in the name
        features += ["features.tsv", "genes.tsv"]
        barcodes += ["barcodes.tsv"]
    return MatrixFiles(matrix, _beside(matrix, features), _beside(matrix, barcodes), _first(matrix, names))


def open_text(path: Path) -> IO[str]:
    """Open a text, packed by gzip or not, whatever it is called."""
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8-sig") if is_packed else path.open(encoding="utf-8-sig")


def read_fields(path: Path) -> list[list[str]]:
    """Return the lines of a table with tabs, without the quotes and blanks that R and spreadsheets put around fields.

    Lines without anything at the end are left out.
    """
    with open_text(path) as text:
        rows = [[_bare(field) for field in line.split("\t")] for line in text]
    while rows and not any(rows[-1]):
        rows.pop()
    return rows


def _bare(field: str) -> str:
    field = field.strip()
    return field[1:-1].strip() if len(field) > 1 and field[0] == field[-1] and field[0] in "\"'" else field


def _plain(path: Path) -> str:
    return path.name.removesuffix(".gz")


def _first(matrix: Path, names: Iterable[str]) -> Path | None:
    places = (matrix.with_name(f"{name}{packed}") for name in names for packed in ("", ".gz"))
    return next((path for path in places if path.exists()), None)


def _beside(matrix: Path, names: list[str]) -> Path:
    found = _first(matrix, names)
    if found is None:
        names = list(dict.fromkeys(names))[:2]
        raise FileNotFoundError(f"{matrix.parent}: no {' or '.join(names)} (or .gz) beside {matrix.name}")
    return found
