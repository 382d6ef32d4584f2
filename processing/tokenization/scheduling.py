"""Independent tasks on the processes of this machine or on a Dask cluster, their results as they come.

A task is a function of one argument that gives the same result wherever and however often it runs, so one that was lost
with its process is simply run again.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from langcell.processing.workers.pool import run_in_processes

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    scheduler: str | None = None,
    preload: str | None = None,
    may_crash: bool = False,
) -> Iterator[Result]:
    """Yield the results of all tasks, in the order in which they are finished.

    Args:
        function: What to do, from a module that the workers can import.
        tasks: Its arguments; they and the results can be pickled.
        workers: Processes on this machine; 1 is this process itself, unless tasks may crash.
        scheduler: Address of a Dask scheduler, such as tcp://host:8786, which takes the place of `workers`.
        preload: Module that is imported once, where the processes of this machine are forked from.
        may_crash: Tasks use a library that can end its process: one worker is a process of its own then, too.

    Raises:
        OSError: The same task was lost with its process again and again, or the scheduler cannot be reached.
        ValueError: There is no worker, or Dask is not installed.
        Exception: What a task raised; no more tasks are started then.

    >>> sorted(run_tasks(abs, [-3, 2, -1]))
    [1, 2, 3]
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; give at least 1.")
    if scheduler is not None:
        yield from _run_on_dask(function, tasks, scheduler)
    elif workers == 1 and not may_crash:
        yield from map(function, tasks)
    else:
        modules = [function.__module__, *([preload] if preload else [])]
        yield from (result for _, result in run_in_processes(function, tasks, workers=workers, preload=modules))


def default_workers() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
                "One worker of the Dask cluster after the other died over the same task (out of memory?). What is "
                "finished is kept: run the same command again."
            ) from error
        finally:
            client.cancel(futures)
