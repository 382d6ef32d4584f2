import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import tiny_counts, tiny_gene_names

from langcell.inference.running.batching import TokenBudget, for_each_batch
from langcell.inference.running.threads import batches_at_once, side_by_side
from langcell.loading.load import load

WAIT = 60  # seconds that no test waits for, unless something is wrong


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def loaded(tiny_model_dir):
    return load(tiny_model_dir, device="cpu")


@pytest.fixture(scope="module")
def ranked(loaded):
    return loaded.processor.feature_extractor.encode(tiny_counts(40), tiny_gene_names())


def test_two_batches_run_at_once_with_one_thread_of_torch_each(loaded, ranked):
    both, threads = threading.Barrier(2, timeout=WAIT), set()

    def run(ids, mask):
        both.wait()  # ends in an error, unless another batch is here at the same time
        threads.add((threading.current_thread().name, torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return (mask.sum(1),)

    two = [ranked[0], ranked[1]]
    (lengths,) = for_each_batch(loaded, two, 2, run)
    assert lengths.tolist() == [len(cell) for cell in two]
    assert {name for name, *_ in threads} == {"langcell-batch_0", "langcell-batch_1"}
    assert {(n, inference) for _, n, inference in threads} == {(1, True)}
    assert torch.get_num_threads() == 2, "torch has its threads again"


def test_side_by_side_gives_the_very_numbers_of_one_after_the_other(loaded, ranked):
    def embed(ids, mask):
        return (loaded.model.get_cell_features(ids, mask, return_dict=True).pooler_output,)

    (at_once,) = for_each_batch(loaded, ranked, 200, embed)
    torch.set_num_threads(1)
    (in_turn,) = for_each_batch(loaded, ranked, 100, embed)
    np.testing.assert_array_equal(at_once, in_turn)


def test_batches_at_once_fit_the_budget_together(loaded, ranked):
    given = []

    def hungry(ids, mask):
        given.append(ids.numel())
        if ids.numel() > 100:
            torch.empty(1 << 58)  # the real error of torch's CPU allocator
        return (mask.sum(1),)

    budget = TokenBudget(10**6)
    (lengths,) = for_each_batch(loaded, ranked, budget, hungry)
    assert lengths.tolist() == ranked.lengths.tolist()
    assert budget.tokens <= 200
    given.clear()
    for_each_batch(loaded, ranked, budget, hungry)
    assert max(given) <= budget.tokens // 2


def test_cells_that_fit_only_alone_are_computed_one_after_the_other(loaded, ranked):
    both, calls, here = threading.Barrier(2, timeout=WAIT), [], []

    def run(ids, mask):
        calls.append(1)
        if len(calls) <= 2:
            both.wait()
            torch.empty(1 << 58)  # the real error of torch's CPU allocator
        here.append(1)
        assert len(here) == 1, "it is alone"
        here.pop()
        return (mask.sum(1),)

    cells = [ranked[row] for row in range(6)]
    (lengths,) = for_each_batch(loaded, cells, 2, run)
    assert lengths.tolist() == [len(cell) for cell in cells]
    assert len(calls) == len(cells) + 2


def test_an_error_in_a_thread_ends_all_and_gives_torch_its_threads_again(loaded, ranked):
    calls = []

    def fail(ids, mask):
        calls.append(len(ids))
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        for_each_batch(loaded, ranked, 2, fail)
    assert len(calls) <= 3
    assert torch.get_num_threads() == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("langcell-batch")]


def test_only_plain_models_on_a_cpu_run_side_by_side(loaded):
    assert batches_at_once(loaded.model) == 2
    assert batches_at_once(SimpleNamespace(device=torch.device("cpu"))) == 1
    offloaded = torch.nn.Module()
    offloaded.device, offloaded.hf_device_map = torch.device("cpu"), {"": "disk"}
    assert batches_at_once(offloaded) == 1
    offloaded.hf_device_map, offloaded.device = {}, torch.device("meta")
    assert batches_at_once(offloaded) == 1


def test_results_come_in_the_order_of_the_calls():
    first_may_end = threading.Event()

    def run(number):
        if number:
            first_may_end.set()
        else:
            assert first_may_end.wait(WAIT)
        return 10 * number

    with side_by_side(2) as running:
        running.start(run, 0)
        assert running.has_room
        running.start(run, 1)
        assert not running.has_room
        assert [running.first(), running.first()] == [(0, 0), (1, 10)]
    with side_by_side(1) as running:
        running.start(lambda number: threading.current_thread() is threading.main_thread(), 7)
        assert running.first() == (7, True)
