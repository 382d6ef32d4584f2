import psutil
import pytest
import torch
from tiny import tiny_config, tiny_model

from langcell.configuration_langcell import LangCellConfig
from langcell.inference.running import memory
from langcell.inference.running.memory import estimate_bytes_per_gene, find_max_batch_tokens, free_bytes
from langcell.loading.load import bundled_model_folder

CPU = torch.device("cpu")


def test_free_memory_is_that_of_the_machine():
    assert 0 < free_bytes(CPU) <= psutil.virtual_memory().total


def test_processes_on_one_machine_share_its_memory(monkeypatch):
    alone = free_bytes(CPU)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_bytes(CPU) < alone / 2


@pytest.mark.parametrize(
    ("limit", "room"),
    [pytest.param("1000000", [900_000], id="limit"), pytest.param("max", [], id="no_limit"),
     pytest.param("50000", [0], id="used_up")],
)  # fmt: skip
def test_a_container_s_limit_counts(tmp_path, limit, room):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("100000\n")
    assert memory._room_in_cgroup(tmp_path) == room
    assert memory._room_in_cgroup(tmp_path / "elsewhere") == []


def test_larger_models_and_numbers_take_more():
    tiny, mini = tiny_config(), LangCellConfig.from_pretrained(bundled_model_folder())
    assert estimate_bytes_per_gene(tiny, torch.float32) < estimate_bytes_per_gene(mini, torch.float32)
    assert estimate_bytes_per_gene(mini, torch.float32) == 2 * estimate_bytes_per_gene(mini, torch.bfloat16)


@pytest.mark.parametrize(
    ("free", "threads", "expected"),
    [pytest.param(1 << 50, 16, 32_768, id="plenty"), pytest.param(0, 16, 1024, id="none"),
     pytest.param(5000 * 2 * 10_000, 16, 4096, id="a_power_of_two"),
     pytest.param(1 << 50, 1, 4096, id="one_thread"), pytest.param(1 << 50, 3, 12_288, id="three_threads")],
)  # fmt: skip
def test_the_budget_follows_the_free_memory_and_the_threads(monkeypatch, free, threads, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    monkeypatch.setattr(memory, "estimate_bytes_per_gene", lambda config, dtype: 10_000)
    assert find_max_batch_tokens(tiny_model()) == expected
