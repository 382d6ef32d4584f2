from pathlib import Path

import numpy as np
import pytest
import tiny
import tiny_sources
from tiny_sources import N_CELLS

from langcell.processing.sources import tenx_text
from langcell.processing.sources.tenx import open_tenx_h5
from langcell.processing.sources.tenx_text import convert_mtx, find_mtx

COUNTS = tiny_sources.counts_of().toarray()


def read_all(path: Path) -> tuple[list[str], np.ndarray]:
    with open_tenx_h5(path) as cells:
        return cells.gene_names, cells.counts_of(np.arange(cells.n_cells)).toarray()


@pytest.mark.parametrize("by", ["cell", "gene"])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("block", [7, 1_000_000])
def test_a_text_matrix(by: str, compressed: bool, block: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tenx_text, "_ENTRIES_PER_BLOCK", block)
    folder = tiny_sources.write_mtx(tmp_path / "mtx", by=by, compressed=compressed)
    convert_mtx(folder, tmp_path / "mtx.h5")
    names, counts = read_all(tmp_path / "mtx.h5")
    assert names == tiny.tiny_gene_names()
    np.testing.assert_array_equal(counts, COUNTS)
    with open_tenx_h5(tmp_path / "mtx.h5") as cells:
        assert cells.obs_names[3] == "barcode3"


def test_files_with_a_prefix(tmp_path: Path) -> None:
    folder = tiny_sources.write_mtx(tmp_path / "mtx")
    for path in folder.iterdir():
        path.rename(path.with_name(f"GSM1_{path.name}"))
    convert_mtx(folder, tmp_path / "mtx.h5")
    assert read_all(tmp_path / "mtx.h5")[1].sum() == COUNTS.sum()
    assert find_mtx(tmp_path) is None


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
        convert_mtx(folder, tmp_path / "mtx.h5")
    assert not list(tmp_path.glob("*.h5"))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = tiny_sources.write_mtx(tmp_path / "mtx")
    (folder / "features.tsv.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"no features\.tsv or genes\.tsv \(or \.gz\) beside matrix\.mtx\.gz"):
        convert_mtx(folder, tmp_path / "mtx.h5")
    (folder / "other_matrix.mtx").touch()
    with pytest.raises(ValueError, match="holds 2 matrices"):
        find_mtx(folder)
