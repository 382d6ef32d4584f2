import json
import logging

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from langcell.inference.running.parts import MemoryParts, PartsFolder, ResumableRun, file_fingerprint, parts_path

ARGUMENTS = {"alpha": 0.1, "labels": [["B cell", "the text", None]], "layer": None}
FOUND = {"max_batch_tokens": 4096}


def columns(start: int, n_cells: int) -> dict[str, np.ndarray]:
    rows = np.arange(start, start + n_cells)
    scores = np.repeat(rows[:, None], 3, axis=1).astype(np.float32)
    scores[:, 1] = np.nan
    return {"scores": scores, "known": rows % 2 == 0, "n_counts": rows * 0.5}


@pytest.fixture(params=["memory", "disk"])
def parts(request, tmp_path):
    return MemoryParts() if request.param == "memory" else PartsFolder(tmp_path)


def test_what_was_added_is_read_in_the_order_of_the_cells(parts):
    for start, n_cells in ((4, 2), (0, 4), (1_000_000_000, 1)):
        parts.add(start, columns(start, n_cells))
    assert parts.starts() == {0, 4, 1_000_000_000}
    scores, known = (np.concatenate(blocks) for blocks in zip(*parts.read("scores", "known"), strict=True))
    assert_array_equal(scores[:, 0], [0, 1, 2, 3, 4, 5, 1_000_000_000])
    assert np.isnan(scores[:, 1]).all()
    assert scores.dtype == np.float32
    assert known.dtype == bool
    assert known.tolist() == [True, False, True, False, True, False, True]
    (counts,) = next(parts.read("n_counts"))
    assert counts.dtype == np.float64
    assert counts.tolist() == [0, 0.5, 1, 1.5]


def test_half_a_part_is_no_part(tmp_path):
    folder = PartsFolder(tmp_path)
    folder.add(0, columns(0, 2))
    (tmp_path / ".cells-000000000002.parquet.0123abcd.tmp").write_bytes(b"PAR1")  # what a killed process leaves
    assert folder.starts() == {0}
    assert len(list(folder.read("known"))) == 1


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.h5ad"


def killed(run: ResumableRun) -> None:
    """What the system does for a process that dies: nothing but to open its lock."""
    run._lock.close()


def test_the_same_arguments_go_on(output):
    run = ResumableRun(output, ARGUMENTS, FOUND)
    run.parts.add(0, columns(0, 2))
    killed(run)
    again = ResumableRun(output, ARGUMENTS, {"max_batch_tokens": 8192})
    assert again.parts.starts() == {0}
    assert again.found == FOUND  # so that the batches are the same, and with them the last digits
    assert again.path == parts_path(output) == output.parent / "out.h5ad.parts"
    again.remove()
    assert list(output.parent.iterdir()) == []


def test_other_arguments_start_anew_and_say_so(output, caplog):
    caplog.set_level(logging.INFO)
    run = ResumableRun(output, ARGUMENTS, FOUND)
    run.parts.add(0, columns(0, 2))
    killed(run)
    again = ResumableRun(output, ARGUMENTS | {"alpha": 0.5, "k": 3}, {"max_batch_tokens": 8192})
    assert "is of a run with other arguments (alpha, k); starting again" in caplog.text
    assert again.parts.starts() == set()
    assert again.found == {"max_batch_tokens": 8192}
    again.close()
    assert not again.path.exists()  # there was nothing worth keeping


def test_closing_keeps_what_was_done(output, caplog):
    caplog.set_level(logging.INFO)
    run = ResumableRun(output, ARGUMENTS, FOUND)
    run.parts.add(0, columns(0, 2))
    run.close()
    assert f"What is done is kept in {run.path}" in caplog.text
    assert json.loads((run.path / "run.json").read_text())["arguments"] == ARGUMENTS


def test_the_rest_of_a_killed_join_is_removed(output):
    leftover = output.with_name(".out.h5ad.0123abcd.tmp")
    leftover.write_bytes(b"half a file")
    other = output.with_name(".other.h5ad.0123abcd.tmp")
    other.write_bytes(b"of another run")
    ResumableRun(output, ARGUMENTS, FOUND).remove()
    assert not leftover.exists()
    assert other.exists()


def test_two_runs_of_one_output_are_refused(output):
    run = ResumableRun(output, ARGUMENTS, FOUND)
    with pytest.raises(ValueError, match=r"another run is writing .*out\.h5ad now"):
        ResumableRun(output, ARGUMENTS, FOUND)
    run.remove()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_not_ours_is_not_touched(output, kind):
    path = parts_path(output)
    if kind == "file":
        path.write_text("precious")
    else:
        path.mkdir()
        (path / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="something else is there; remove it first"):
        ResumableRun(output, ARGUMENTS, FOUND)
    assert (path if kind == "file" else path / "thesis.txt").read_text() == "precious"


def test_a_changed_file_is_another_one(tmp_path):
    file, folder = tmp_path / "cells.h5ad", tmp_path / "cells.zarr"
    folder.mkdir()
    for path in (file, folder / "zarr.json"):
        path.write_text("one")
    before = file_fingerprint(file), file_fingerprint(folder)
    assert before == (file_fingerprint(file), file_fingerprint(folder))
    for path in (file, folder / "zarr.json"):
        path.write_text("other")
    assert file_fingerprint(file) != before[0]
    assert file_fingerprint(folder) != before[1]
