import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import HELPERS
from tiny_tasks import die, one_over, power_of_two, process_of

from langcell.processing.tokenization.scheduling import default_workers, run_tasks


def test_results_of_this_process_come_in_order() -> None:
    assert list(run_tasks(abs, [-3, 2, -1])) == [3, 2, 1]
    assert list(run_tasks(abs, [], workers=3)) == []


def test_processes_share_the_work() -> None:
    assert sorted(run_tasks(power_of_two, list(range(9)), workers=2)) == [2**n for n in range(9)]
    assert default_workers() >= 1


def test_what_a_task_raises_ends_the_run() -> None:
    with pytest.raises(ZeroDivisionError):
        list(run_tasks(one_over, [1, 0, 1], workers=2))


def test_a_task_that_kills_its_process_again_and_again_is_reported() -> None:
    with pytest.raises(OSError, match=r"ended from outside \(SIGKILL.* 3 times .* run the same command") as caught:
        list(run_tasks(die, [1, 2], workers=2))
    assert "\n" not in str(caught.value)


def test_one_worker_is_a_process_of_its_own_where_tasks_may_crash() -> None:
    (here,) = run_tasks(process_of, [0])
    (there,) = run_tasks(process_of, [0], may_crash=True)
    assert here == os.getpid() != there


def test_no_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="workers is 0"):
        list(run_tasks(abs, [1], workers=0))


def test_nobody_answers_at_the_scheduler(monkeypatch) -> None:
    pytest.importorskip("distributed", reason="the extra scale is not installed")
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(OSError, match="No Dask scheduler"),
    ):
        list(run_tasks(abs, [1], scheduler="tcp://127.0.0.1:9"))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r'pip install "langcell\[scale\]"'):
        list(run_tasks(abs, [1], scheduler="tcp://127.0.0.1:9"))


ORPHANS = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from tiny_tasks import note_and_wait
from langcell.processing.tokenization.scheduling import run_tasks
if __name__ == "__main__":
    list(run_tasks(note_and_wait, [sys.argv[2]] * 2, workers=2))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_with_a_run_that_is_killed(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", ORPHANS, str(HELPERS), str(tmp_path)])
    while len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.1)
        assert run.poll() is None
    run.send_signal(signal.SIGKILL)
    run.wait()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    deadline = time.monotonic() + 300
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker went on without the run"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
