import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SHARED = TESTS.parents[1] / "shared"

# Before any Hugging Face library is imported: tests never reach for the network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# The tiny models are far too small for more than one thread to be worth its start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# numba, which UMAP runs on, sets OpenMP's number of threads for torch as well; the last bits of a run depend on it.
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
sys.path.insert(0, str(TESTS))  # for `import tiny`, here and in processes that tests start

import tiny  # noqa: E402


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory):
    """A complete Hub folder of the tiny model; read only."""
    return tiny.save_tiny_folder(tmp_path_factory.mktemp("hub") / "langcell-tiny")


@pytest.fixture(scope="session")
def model():
    """The tiny LangCellForPreTraining in evaluation mode; read only."""
    return tiny.tiny_model()


@pytest.fixture(scope="session")
def processor():
    """The tiny LangCellProcessor; read only."""
    return tiny.tiny_processor()


@pytest.fixture(scope="session")
def vocabulary():
    """The tiny GeneVocabulary."""
    return tiny.tiny_vocabulary()


@pytest.fixture
def batch():
    """Five cells and three texts, each padded to its longest."""
    return tiny.tiny_batch()


@pytest.fixture(scope="session")
def shared_data():
    """Path of a file of the shared real data by its name under `shared/`; the test is skipped where it is absent."""

    def path_of(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"real data {name} is not on this machine")
        return path

    return path_of


@pytest.fixture
def fresh_accelerate():
    """Accelerate keeps the precision of the first run of a process for all later ones; not after this."""
    yield
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
