import gzip
from pathlib import Path

import numpy as np
import pytest
import tiny
import tiny_sources
from tiny_sources import N_CELLS

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.containers import text_matrix
from langcell.processing.containers.text_matrix import convert_mtx

COUNTS = tiny_sources.counts_of().toarray()
NAMES = tiny.tiny_gene_names()
CELLS = [f"barcode{i}" for i in range(N_CELLS)]


def read_all(path: Path, **options: str) -> tuple[list[str], np.ndarray]:
    with open_cells(path, **options) as cells:
        return cells.gene_names, cells.counts_of(np.arange(cells.n_cells)).toarray()


@pytest.mark.parametrize("by", ["cell", "gene"])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("block", [7, 1_000_000])
def test_a_text_matrix(by: str, compressed: bool, block: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(text_matrix, "_ENTRIES_PER_BLOCK", block)
    folder = tiny_sources.write_mtx(tmp_path / "mtx", by=by, compressed=compressed)
    convert_mtx(folder, tmp_path / "mtx.h5ad")
    names, counts = read_all(tmp_path / "mtx.h5ad")
    assert names == NAMES
    np.testing.assert_array_equal(counts, COUNTS)
    with open_cells(tmp_path / "mtx.h5ad") as cells:
        assert cells.obs_names[3] == "barcode3"


def write(path: Path, lines: list[str], *, end: str = "\n") -> None:
    content = (end.join(lines) + end).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def entries(counts: np.ndarray, *, banner: str = "integer", sep: str = " ", pad: str = "") -> list[str]:
    """Lines of a MatrixMarket file, sorted by the second number as R's writeMM does."""
    columns, rows = np.nonzero(counts.T)
    values = [f"{sep}{counts[i, j]:g}" for i, j in zip(rows, columns, strict=True)]
    values = [""] * len(values) if banner == "pattern" else values
    body = [f"{pad}{i + 1}{sep}{j + 1}{v}{pad}" for i, j, v in zip(rows, columns, values, strict=True)]
    head = f"%%MatrixMarket matrix coordinate {banner} general"
    return [head, "%", f"{pad}{counts.shape[0]}{sep}{counts.shape[1]}{sep}{len(body)}", *body]


def tabs_and_padding(folder: Path) -> None:
    write(folder / "matrix.mtx", entries(COUNTS.T, sep="\t", pad=" "), end="\r\n")
    write(folder / "genes.tsv", [f" {name} \tS{i} " for i, name in enumerate(NAMES)] + ["", ""], end="\r\n")
    write(folder / "barcodes.tsv", CELLS, end="\r\n")


def quoted_with_titles(folder: Path) -> None:
    """As R's write.table leaves them."""
    write(folder / "matrix.mtx.gz", entries(COUNTS.T, banner="real"))
    write(folder / "features.tsv.gz", ['"V1"\t"V2"', *(f'"{name}"\t"S{i}"' for i, name in enumerate(NAMES))])
    write(folder / "barcodes.tsv.gz", ['"x"', *(f'"{cell}"' for cell in CELLS)])


def symbols_alone(folder: Path) -> None:
    write(folder / "matrix.mtx", entries(COUNTS.T))
    write(folder / "features.tsv", NAMES)
    write(folder / "barcodes.tsv", CELLS)


def starsolo(folder: Path) -> None:
    write(folder / "matrix.mtx", entries(COUNTS.T, banner="real"))
    write(folder / "UniqueAndMult-EM.mtx", entries(COUNTS.T * 1.5, banner="real"))
    write(folder / "features.tsv", [f"{name}\tS{i}\tGene Expression" for i, name in enumerate(NAMES)])
    write(folder / "barcodes.tsv", CELLS)


def kallisto(folder: Path) -> None:
    write(folder / "cells_x_genes.mtx", entries(COUNTS, banner="real"))
    write(folder / "cells_x_genes.genes.txt", NAMES)
    write(folder / "cells_x_genes.genes.names.txt", [f"S{i}" for i in range(len(NAMES))])
    write(folder / "cells_x_genes.barcodes.txt", CELLS)


def alevin(folder: Path) -> None:
    write(folder / "quants_mat.mtx.gz", entries(COUNTS, banner="real"))
    write(folder / "quants_mat_cols.txt", NAMES)
    write(folder / "quants_mat_rows.txt", CELLS)


def alevin_fry(folder: Path) -> None:
    """Spliced, unspliced and ambiguous counts side by side: the first and the last are the cell's."""
    ambiguous = (COUNTS > 1).astype(COUNTS.dtype)
    write(folder / "quants_mat.mtx", entries(np.hstack([COUNTS - ambiguous, 7 * COUNTS, ambiguous])))
    names = [*NAMES, *(f"{name}-U" for name in NAMES), *(f"{name}-A" for name in NAMES)]
    write(folder / "quants_mat_cols.txt", names)
    write(folder / "quants_mat_rows.txt", CELLS)


@pytest.mark.parametrize(
    "make", [tabs_and_padding, quoted_with_titles, symbols_alone, starsolo, kallisto, alevin, alevin_fry]
)
def test_every_layout_holds_the_same_counts(make, tmp_path: Path) -> None:
    make(tmp_path)
    names, counts = read_all(tmp_path)
    summed = {name: 0 for name in names}
    for name, column in zip(names, counts.T, strict=True):
        summed[name] = summed[name] + column
    assert list(summed) == NAMES
    np.testing.assert_array_equal(np.array(list(summed.values())).T, COUNTS)
    with open_cells(tmp_path) as cells:
        assert list(cells.obs_names) == CELLS


def test_symbols_stand_beside_the_ids(tmp_path: Path) -> None:
    kallisto(tmp_path)
    assert read_all(tmp_path, gene_column="name")[0][5] == "S5"


def test_a_pattern_has_ones(tmp_path: Path) -> None:
    write(tmp_path / "matrix.mtx", entries(COUNTS.T, banner="pattern"))
    write(tmp_path / "features.tsv", NAMES)
    write(tmp_path / "barcodes.tsv", CELLS)
    convert_mtx(tmp_path, tmp_path / "out.h5ad")
    np.testing.assert_array_equal(read_all(tmp_path / "out.h5ad")[1], COUNTS > 0)


def test_one_of_several_matrices_is_named_by_its_file(tmp_path: Path) -> None:
    for name, factor in (("mature", 1), ("nascent", 3)):
        write(tmp_path / f"cells_x_genes.{name}.mtx", entries(COUNTS * factor))
    write(tmp_path / "cells_x_genes.genes.txt", NAMES)
    write(tmp_path / "cells_x_genes.barcodes.txt", CELLS)
    with pytest.raises(ValueError, match=r"holds 2 matrices .*name the file of one"):
        open_cells(tmp_path)
    np.testing.assert_array_equal(read_all(tmp_path / "cells_x_genes.nascent.mtx")[1], 3 * COUNTS)


def test_files_with_a_prefix(tmp_path: Path) -> None:
    folder = tiny_sources.write_mtx(tmp_path / "mtx")
    for path in folder.iterdir():
        path.rename(path.with_name(f"GSM1_{path.name}"))
    assert read_all(folder)[1].sum() == COUNTS.sum()


def test_an_output_has_the_cells_and_what_it_was_converted_from_is_said(tmp_path: Path, caplog) -> None:
    folder = tiny_sources.write_mtx(tmp_path / "mtx")
    with caplog.at_level("INFO", logger="langcell"):
        open_cells(folder).close()
        open_cells(folder).close()
    assert len(caplog.messages) == 1
    assert "a text matrix (mtx); it is read from a temporary h5ad file" in caplog.messages[0]


def change_matrix(folder: Path, old: str, new: str) -> None:
    path = folder / "matrix.mtx"
    path.write_text(path.read_text().replace(old, new, 1))


def cut_off(folder: Path) -> None:
    path = folder / "matrix.mtx"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))


@pytest.mark.parametrize(
    ("by", "change", "message"),
    [
        pytest.param("nothing", lambda d: None, "sorted neither by cell nor by gene", id="not_sorted"),
        pytest.param("cell", cut_off, "is cut short", id="cut_short"),
        pytest.param("cell", lambda d: change_matrix(d, "coordinate", "array"), "not a MatrixMarket", id="kind"),
        pytest.param("cell", lambda d: change_matrix(d, f" {N_CELLS} ", " 9 "), "42 x 9, but the tables", id="size"),
        pytest.param("cell", lambda d: change_matrix(d, "\n1 1 ", "\n99 1 "), "a gene beyond the 42", id="gene"),
        pytest.param("cell", lambda d: change_matrix(d, "\n1 1 ", "\nx 1 "), "is damaged", id="text"),
    ],
)
def test_damaged_text_is_refused(by: str, change, message: str, tmp_path: Path) -> None:
    folder = tiny_sources.write_mtx(tmp_path / "mtx", by=by, compressed=False)
    change(folder)
    with pytest.raises(ValueError, match=message):
        convert_mtx(folder, tmp_path / "mtx.h5ad")
    assert not list(tmp_path.glob("*.h5ad"))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = tiny_sources.write_mtx(tmp_path / "mtx")
    (folder / "features.tsv.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"no features\.tsv or genes\.tsv \(or \.gz\) beside matrix\.mtx\.gz"):
        convert_mtx(folder, tmp_path / "mtx.h5ad")


def write_small_mtx(folder: Path, kind: str, entries: list[str]) -> Path:
    folder.mkdir()
    genes = ["CD3D", "CD4", "LYZ"]
    header = [f"%%MatrixMarket matrix coordinate {kind} general", f"3 2 {len(entries)}"]
    (folder / "matrix.mtx").write_text("\n".join(header + entries) + "\n")
    (folder / "genes.tsv").write_text("".join(f"{gene}\t{gene}\n" for gene in genes))
    (folder / "barcodes.tsv").write_text("cell1\ncell2\n")
    return folder


def test_a_pattern_holds_ones(tmp_path: Path) -> None:
    with open_cells(write_small_mtx(tmp_path / "ones", "pattern", ["1 1", "3 1", "2 2"])) as cells:
        assert cells.counts_of(np.arange(2)).toarray().tolist() == [[1, 0, 1], [0, 1, 0]]


def test_missing_values_as_r_writes_them_are_refused(tmp_path: Path) -> None:
    folder = write_small_mtx(tmp_path / "na", "real", ["1 1 4", "3 1 1e308", "2 2 5"])
    with pytest.raises(ValueError, match=r"X holds NaN or infinite values") as caught:
        open_cells(folder)
    assert "\n" not in str(caught.value)


def test_a_matrix_without_entries_holds_zeros_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="X holds zeros alone"):
        open_cells(write_small_mtx(tmp_path / "none", "integer", []))
