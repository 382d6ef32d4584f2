import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranks import run_on_ranks

from langcell.inference.running.processes import Processes

SCRIPT = """
import sys
from langcell.inference.running.processes import Processes
processes = Processes.launched()
{body}
"""


@given(st.integers(0, 50), st.integers(1, 8))
def test_every_item_has_one_process(n_items, world_size):
    shares = [Processes(rank, world_size).share(range(n_items)) for rank in range(world_size)]
    assert [item for share in shares for item in share] == list(range(n_items))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_there_is_nothing_to_wait_for(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes = Processes.launched()
    assert processes == Processes()
    assert processes.is_main
    assert processes.gather("x") == ["x"]
    assert processes.device(None) is None
    with processes.together(), processes.alone():
        pass
    with pytest.raises(ValueError, match=r"^wrong$") as caught, processes.together(), processes.alone():
        raise ValueError("wrong")
    assert not hasattr(caught.value, "__notes__")
    processes.close()


def test_two_processes_exchange_values():
    body = "print(processes.rank, processes.is_main, processes.gather({'rank': processes.rank})); processes.close()"
    first, second = run_on_ranks(["-c", SCRIPT.format(body=body)])
    assert first.stdout.strip() == "0 True [{'rank': 0}, {'rank': 1}]", first.stderr
    assert second.stdout.strip() == "1 False [{'rank': 0}, {'rank': 1}]", second.stderr


def test_where_one_cannot_go_on_none_does():
    body = (
        "try:\n"
        "    with processes.together():\n"
        "        if processes.rank == 1:\n"
        "            raise OSError('no such file')\n"
        "except (ValueError, OSError) as error:\n"
        "    print(type(error).__name__, error)"
    )
    first, second = run_on_ranks(["-c", SCRIPT.format(body=body)])
    assert first.stdout.strip() == "ValueError process 2 of 2: no such file", first.stderr
    assert second.stdout.strip() == "OSError no such file", second.stderr


def test_who_waits_for_a_dead_process_is_told():
    body = (
        "if processes.rank == 1:\n"
        "    import os; os._exit(9)\n"
        "try:\n"
        "    processes.gather('done')\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    first, second = run_on_ranks(["-c", SCRIPT.format(body=body)])
    assert "another process of this run has ended before its time" in first.stdout, first.stderr
    assert second.returncode == 9
