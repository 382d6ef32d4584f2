import gc
import os
import signal
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis.strategies import just

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell does for what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

HELPERS = Path(__file__).resolve().parent / "helpers"

# What is imported stays, so that looking for garbage in it finds none; see pytest_collection_finish.
gc.set_threshold(1_000_000)

# This process keeps bytecode of langcell and of the tests; each would compile all of it once more. What it starts keeps
# none: of a file that a full disk cut off, as some tests have it, Python would read half as if it were the whole.
sys.dont_write_bytecode = False
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

# Before any Hugging Face library is imported: tests never reach for the network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# The tiny models are far too small for more than one thread to be worth its start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# numba, which UMAP runs on, sets OpenMP's number of threads for torch as well; the last bits of a run depend on it.
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
sys.path.insert(0, str(HELPERS))  # for `import tiny`, here and in processes that tests start

from places import REAL_DATA_VARIABLE, real_data_folder  # noqa: E402


def pytest_configure(config):
    """Prepare a process that runs tests; one that hands all of them to others imports no library, which takes seconds.

    Such a process keeps a core busy, and the others have not begun yet.
    """
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        return
    from kept_machine_code import keep_machine_code

    keep_machine_code()  # before any library is imported that numba compiles
    import lean
    import typer.testing

    lean.leave_out_what_takes_time()
    # Commands with all of their options are made once, and not once more for each call.
    typer.testing._get_command = cache(typer.testing._get_command)


class _WarmSystem:
    """Stands for `sys` where the software starts processes of fresh caches: they begin with imports done."""

    @property
    def executable(self):
        from warm_python import warm_python

        return warm_python()


def pytest_collection_finish():
    """Have the garbage collector look at what the tests make, and no longer at what was imported and collected."""
    gc.freeze()
    gc.set_threshold(700, 10, 10)
    # Hypothesis asks the collector who holds its random numbers when it first draws some. No other thread is here yet
    # that may be collecting, and nothing was frozen since.
    settings(max_examples=1, database=None)(given(just(0))(lambda _: None))()


@pytest.fixture(autouse=True)
def _environment_of_warm_processes():
    """Variables that a test, or a library in it, left behind would make all later processes cold ones."""
    from warm_server import READ_BY_ALL

    before = {name: value for name, value in os.environ.items() if name.startswith(READ_BY_ALL)}
    yield
    for name in [name for name in os.environ if name.startswith(READ_BY_ALL) and name not in before]:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def _warm_fresh_processes():
    from langcell import fresh_process

    fresh_process.sys = _WarmSystem()


@pytest.fixture(scope="module")
def numbers_of_this_machine():
    """Lets `auto` be what users get, which is bfloat16 where the machine is fast at it."""
    import lean

    from langcell.loading import precision

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "_multiplies_bfloat16", lean.THIS_MACHINES)
        yield


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory):
    """A complete Hub folder of the tiny model; read only."""
    import tiny

    return tiny.save_tiny_folder(tmp_path_factory.mktemp("hub") / "langcell-tiny")


@pytest.fixture(scope="session")
def model():
    """The tiny LangCellForPreTraining in evaluation mode; read only."""
    import tiny

    return tiny.tiny_model()


@pytest.fixture(scope="session")
def processor():
    """The tiny LangCellProcessor; read only."""
    import tiny

    return tiny.tiny_processor()


@pytest.fixture(scope="session")
def vocabulary():
    """The tiny GeneVocabulary."""
    import tiny

    return tiny.tiny_vocabulary()


@pytest.fixture
def batch():
    """Five cells and three texts, each padded to its longest."""
    import tiny

    return tiny.tiny_batch()


@pytest.fixture(scope="session")
def real_data():
    """Return the path of a file of real data by its name in the folder that LANGCELL_TEST_DATA names.

    Without the variable the test is skipped, and the run ends with a line that says so. With it every file counts.
    """

    def path_of(name: str) -> Path:
        folder = real_data_folder()
        if folder is None:
            pytest.skip(f"real data: set {REAL_DATA_VARIABLE}")
        path = folder / name
        assert path.exists(), f"{REAL_DATA_VARIABLE} has no {name}; CONTRIBUTING.md lists the files"
        return path

    return path_of


def pytest_terminal_summary(terminalreporter):
    skipped = [
        report for report in terminalreporter.stats.get("skipped", []) if REAL_DATA_VARIABLE in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests need real data and did not run: {REAL_DATA_VARIABLE} is not set (CONTRIBUTING.md)."
        )


@pytest.fixture
def fresh_accelerate():
    """Accelerate keeps the precision of the first run of a process for all later ones; not after this."""
    yield
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
