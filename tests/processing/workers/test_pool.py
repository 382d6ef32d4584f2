"""Processes are killed at random moments, and every task is done once."""

import multiprocessing

import pytest
from killing import killed_workers
from tiny_tasks import answer_lambda, die_unless_marked, one_over, power_of_two, square_slowly

from langcell.processing.workers.pool import results_in_order, run_in_processes


@pytest.mark.parametrize("seed", range(20))
def test_no_task_is_lost_or_doubled_when_processes_are_killed_at_random(seed: int) -> None:
    with killed_workers(seed) as killed:
        results = list(run_in_processes(square_slowly, range(12), workers=2))
    assert sorted(results) == [(n, n * n) for n in range(12)]
    assert killed


def test_tasks_that_were_lost_twice_run_alone_and_the_others_go_on(tmp_path, caplog) -> None:
    tasks = [(str(tmp_path), number, 2 if number in (1, 4) else 0) for number in range(6)]
    results = results_in_order(run_in_processes(die_unless_marked, tasks, workers=3))
    assert list(results) == list(range(6))
    said = [record.getMessage() for record in caplog.records if record.name == "langcell.workers"]
    assert len(said) == 4
    assert all("SIGKILL, perhaps because memory ran out" in line and "\n" not in line for line in said)
    assert sum("try 3 of 3" in line for line in said) == 2


def test_a_task_that_is_lost_three_times_ends_the_run(tmp_path) -> None:
    tasks = [(str(tmp_path), number, 3 if number == 2 else 0) for number in range(4)]
    with pytest.raises(OSError, match=r"3 times over the same task\. What is finished is kept"):
        list(run_in_processes(die_unless_marked, tasks, workers=2))
    assert not multiprocessing.active_children()


def test_tasks_are_taken_when_a_process_is_free() -> None:
    taken = []
    tasks = (taken.append(n) or n for n in range(100))
    results = run_in_processes(power_of_two, tasks, workers=2, finish_begun=False)
    assert [next(results) for _ in range(2)]
    assert len(taken) <= 4
    results.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_errors_arrive_with_their_type_and_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(run_in_processes(one_over, [1, 0], workers=1))
    assert "in one_over" in str(caught.value.__cause__)
    with pytest.raises((AttributeError, RuntimeError), match="lambda"):
        list(run_in_processes(answer_lambda, [1], workers=1))
