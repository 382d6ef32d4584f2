import os

import pytest
from tiny_tasks import may_this_process_die, one_over, process_of

from langcell.processing.workers.worker import Worker, WorkerDied, is_expendable


def test_a_worker_answers_until_it_is_killed() -> None:
    worker = Worker(process_of)
    worker.ask(0)
    assert worker.answer() == worker.process.pid
    worker.process.kill()
    worker.process.join()
    assert not worker.is_alive
    with pytest.raises(WorkerDied, match="SIGKILL"):
        worker.answer()
    with pytest.raises(WorkerDied, match="SIGKILL"):
        worker.ask(0)
    worker.close()


def test_a_worker_goes_on_after_an_error() -> None:
    worker = Worker(one_over)
    worker.ask(0)
    with pytest.raises(ZeroDivisionError):
        worker.answer()
    worker.ask(2)
    assert worker.answer() == 0.5
    worker.close()


def test_workers_may_die_and_the_main_process_may_not() -> None:
    assert not is_expendable()
    worker = Worker(may_this_process_die)
    worker.ask(0)
    assert worker.answer()
    worker.close()


def test_a_worker_has_the_environment_of_the_run(monkeypatch) -> None:
    Worker(process_of).close()  # the server that processes are forked from has begun
    monkeypatch.setenv("LANGCELL_TEST_SETTING", "new")
    worker = Worker(os.getenv)
    worker.ask("LANGCELL_TEST_SETTING")
    assert worker.answer() == "new"
    worker.close()
