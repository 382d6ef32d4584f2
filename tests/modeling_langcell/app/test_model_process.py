import time
from dataclasses import replace

import pytest
from tiny_sample import save_sample_model
from warm_python import warm_spawning

from langcell.app.messages import NamingRequest
from langcell.app.model_process import ModelProcess
from langcell.app.options import AppOptions

# The types under "cell" that the tiny model is said to know: enough for work that takes a while.
TYPES = [f"CL:{number:07d}" for number in (236, 623, 542, 576, 625, 624, 451, 232, 233, 540)]


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = save_sample_model(tmp_path_factory.mktemp("hub") / "model", training_cell_types=TYPES)
    return AppOptions(model=str(folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Each process with the model begins with its libraries imported."""
    with warm_spawning():
        yield


@pytest.fixture(scope="module")
def process(options):
    process = ModelProcess(options)
    yield process
    process.close()


def test_errors_come_back_as_one_line(process, tmp_path):
    (tmp_path / "cells.h5ad").write_bytes(b"no cells")
    with pytest.raises(ValueError, match=r"^cells.h5ad\b.*") as raised:
        process.call("name_cells", NamingRequest(str(tmp_path), "cells.h5ad", branch="cell"))
    assert "\n" not in str(raised.value)


def test_a_fault_of_the_program_is_said_to_be_one_and_the_next_call_works(process):
    with pytest.raises(ValueError, match="fault of the program, its log has the details: AttributeError"):
        process.call("name_cells", "not a request")
    assert process.call("page_facts").model_id == "model"


def test_work_for_a_closed_page_ends(process, tmp_path):
    started = time.monotonic()
    with pytest.raises(ValueError, match="The page was closed"):
        process.call("name_cells", NamingRequest(str(tmp_path), None, branch="cell"), cancelled=lambda: True)
    assert time.monotonic() - started < 60
    assert process.call("page_facts").model_id == "model"


def test_a_crash_of_the_process_is_survived(process, tmp_path):
    request = NamingRequest(str(tmp_path), None, branch="cell")

    def kill_at_work() -> bool:
        process._process.kill()
        return False

    with pytest.raises(ValueError, match=r"ended \(exit code -9\), perhaps because memory ran out"):
        process.call("name_cells", request, cancelled=kill_at_work)  # which is asked once the work has begun
    assert process.call("page_facts").model_id == "model"


def test_a_crash_while_nobody_asks_is_not_noticed(process):
    process._process.kill()
    process._process.join()
    assert process.call("page_facts").model_id == "model"


@pytest.mark.slow
def test_the_time_limit(options, tmp_path):
    process = ModelProcess(replace(options, time_limit=1))
    try:
        assert process.call("page_facts").model_id == "model"  # loading has no limit
        with pytest.raises(ValueError, match="more than the 1 s that this app allows; give fewer cells"):
            process.call("name_cells", NamingRequest(str(tmp_path), None, branch="cell"))  # compiles UMAP: seconds
    finally:
        process.close()
    with pytest.raises(ValueError, match="The app has ended"):
        process.call("page_facts")


def test_a_model_that_cannot_be_loaded(tmp_path):
    process = ModelProcess(AppOptions(model=str(tmp_path)))
    try:
        with pytest.raises(ValueError, match="is not a complete LangCell folder"):
            process.call("page_facts")
    finally:
        process.close()
