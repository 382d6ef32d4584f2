"""Independent tasks on the processes of this machine or on a Dask cluster, their results as they come.

A task is a function of one argument that gives the same result wherever and however often it runs, so one that was lost
with its process is simply run again.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

# Each process works on one task while the next waits: an error stops the run soon, and no process is ever idle.
_TASKS_PER_WORKER = 2


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    scheduler: str | None = None,
    preload: str | None = None,
) -> Iterator[Result]:
    """The results of all tasks, in the order in which they are finished.

    Args:
        function: What to do, from a module that the workers can import.
        tasks: Its arguments; they and the results can be pickled.
        workers: Processes on this machine; 1 is this process itself.
        scheduler: Address of a Dask scheduler, such as tcp://host:8786, which takes the place of `workers`.
        preload: Module that is imported once, where the processes of this machine are forked from.

    Raises:
        OSError: A process of this machine was ended from outside, or the scheduler cannot be reached or gave up.
        ValueError: There is no worker, or Dask is not installed.
        Exception: What a task raised; no more tasks are started then.

    >>> sorted(run_tasks(abs, [-3, 2, -1]))
    [1, 2, 3]
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; give at least 1.")
    if scheduler is not None:
        yield from _run_on_dask(function, tasks, scheduler)
    elif workers == 1:
        yield from map(function, tasks)
    elif tasks:
        yield from _run_in_pool(function, tasks, min(workers, len(tasks)), preload)


def default_workers() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_in_pool(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, preload: str | None
) -> Iterator[Result]:
    modules = [__name__, function.__module__, *([preload] if preload else [])]
    pool = ProcessPoolExecutor(workers, mp_context=_context(modules), initializer=_end_with_parent)
    waiting = iter(tasks)
    running: set[Future[Result]] = set()
    try:
        while True:
            for task in islice(waiting, workers * _TASKS_PER_WORKER - len(running)):
                running.add(pool.submit(function, task))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise OSError(
            "A worker process was ended from outside (by the system, for want of memory?). What is finished is kept: "
            "run the same command again, perhaps with fewer --workers."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _context(modules: list[str]) -> Any:
    """How processes are started: from a server that has imported all they need, so that they share that memory.

    They are not forked from this process, which may have threads that hold locks.
    """
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(modules)
    return context


def _end_with_parent() -> None:
    """Let this worker end when the process that started it is killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), name="langcell-parent", daemon=True).start()


def _run_on_dask(function: Callable[[Task], Result], tasks: Sequence[Task], scheduler: str) -> Iterator[Result]:
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise ValueError(f'A scheduler needs Dask: pip install "langcell[scale]" ({error}).') from error
    try:
        client = Client(scheduler, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise OSError(f"No Dask scheduler answers at {scheduler!r}: {str(error).splitlines()[0]}") from error
    with client:
        # Not "pure": Dask would take a task of an earlier run with the same argument for done.
        futures = client.map(function, tasks, pure=False, retries=0)
        try:
            for _, result in as_completed(futures, loop=client.loop, with_results=True):
                yield result
        except KilledWorker as error:
            raise OSError(
                "One worker of the Dask cluster after the other died over the same task (for want of memory?). What is "
                "finished is kept: run the same command again."
            ) from error
        finally:
            client.cancel(futures)
