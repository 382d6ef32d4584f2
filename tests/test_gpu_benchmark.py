"""The script that measures a GPU in a few minutes: its small form, on the CPU."""

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from places import ROOT


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", ROOT / "benchmarks" / "gpu.py")
    assert spec is not None
    assert spec.loader is not None
    # A dataclass looks for its module there.
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_embeddings_and_both_stages_are_in_the_table(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "peak_flops", lambda device, precision: 1e12)
    found = benchmark.run("small", torch.device("cpu"), seconds=0.001, minutes=1)
    what = ["embeddings, cells longest", "embeddings, cells like pbmc3k", "stage 1", "stage 2"]
    assert [row["what"] for row in found["rows"]] == what
    assert all(row["cells/s"] > 0 and 0 < row["MFU"] < 1 for row in found["rows"])
    lines = benchmark.table(found["rows"]).splitlines()
    assert len(lines) == 2 + len(what)
    assert len({line.count("|") for line in lines}) == 1


def test_what_there_is_no_time_or_memory_for_is_a_line_that_says_so(benchmark):
    clock = benchmark.Clock(torch.device("cpu"), 0.0, ends=0.0)
    rows = list(benchmark.training_rows(benchmark.SIZES["small"], clock, None))
    assert {row["note"] for row in rows} == {"no time was left"}

    def too_much() -> int:
        raise torch.OutOfMemoryError("CUDA out of memory")

    endless = benchmark.Clock(torch.device("cpu"), 0.0, ends=float("inf"))
    assert benchmark.measured(endless, too_much, 1.0, None) == {"note": "no memory for it"}
    with pytest.raises(RuntimeError, match="size"):
        benchmark.measured(endless, lambda: len(torch.ones(2) @ torch.ones(3)), 1.0, None)
