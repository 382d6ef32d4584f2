"""Many tasks on a few processes that may die: a task that was lost with its process is run again.

Which task a process had is known, so that no other one loses its work. A task that was lost twice has the machine to
itself at its last try: where memory was too small for several, it may do for one.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from langcell.processing.workers.worker import TRIES, Worker, WorkerDied

Task = TypeVar("Task")
Result = TypeVar("Result")

logger = logging.getLogger("langcell.workers")


def run_in_processes(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int,
    preload: Sequence[str] = (),
    finish_begun: bool = True,
) -> Iterator[tuple[int, Result]]:
    """Yield the number and the result of each task, in the order in which they are finished.

    Args:
        function: What to do, the same wherever and however often it runs; it can be pickled.
        tasks: Its arguments, taken when a process is free; they and the results can be pickled.
        workers: Number of processes, 1 or more.
        preload: Modules that are imported once, where the processes are forked from.
        finish_begun: Where the caller stops early, processes end after the task they work on, and not at once.

    Raises:
        OSError: The same task was lost with its process three times.
        Exception: What a task raised; no more tasks are started then.
    """
    pool: _Pool[Task, Result] = _Pool(function, tasks, workers, preload)
    kill = not finish_begun
    try:
        yield from pool.results()
    except KeyboardInterrupt:
        kill = True
        raise
    finally:
        pool.close(kill=kill)


@dataclass
class _Job(Generic[Task]):
    """A task, its number, and how often it was lost."""

    number: int
    task: Task
    lost: int = 0

    @property
    def is_alone(self) -> bool:
        """Whether it shall be the only one that runs: it is the last try."""
        return self.lost == TRIES - 1


class _Pool(Generic[Task, Result]):
    """Processes, and what each of them works on."""

    def __init__(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], workers: int, preload: Sequence[str]
    ) -> None:
        self._function, self._workers, self._preload = function, workers, preload
        self._fresh = (_Job(number, task) for number, task in enumerate(tasks))
        self._lost: deque[_Job[Task]] = deque()
        self._busy: dict[Worker, _Job[Task]] = {}
        self._idle: list[Worker] = []

    def results(self) -> Iterator[tuple[int, Result]]:
        """Give out tasks and collect results until there are none."""
        while self._hand_out():
            ready = set(wait([worker.connection for worker in self._busy]))
            for worker in [worker for worker in self._busy if worker.connection in ready]:
                job = self._busy.pop(worker)
                try:
                    result = worker.answer()
                except WorkerDied as death:
                    self._put_back(worker, job, death)
                    continue
                except BaseException:
                    self._idle.append(worker)
                    raise
                self._idle.append(worker)
                self._hand_out()  # before the caller takes its time with the result
                yield job.number, result

    def close(self, *, kill: bool) -> None:
        """End all processes, after what they work on or at once."""
        for worker in [*self._idle, *self._busy]:
            worker.close(kill=kill)

    def _hand_out(self) -> bool:
        """Give tasks to processes as far as there are both; whether any process is at work."""
        while (job := self._next()) is not None:
            worker = self._free_worker()
            try:
                worker.ask(job.task)
            except WorkerDied as death:
                self._put_back(worker, job, death)
            else:
                self._busy[worker] = job
        return bool(self._busy)

    def _next(self) -> _Job[Task] | None:
        """Return the task that can be started now."""
        if len(self._busy) == self._workers or any(job.is_alone for job in self._busy.values()):
            return None
        if not self._lost:
            return next(self._fresh, None)
        return None if self._busy and self._lost[0].is_alone else self._lost.popleft()

    def _free_worker(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
            worker.close()  # it was killed while it had nothing to do
        return Worker(self._function, preload=self._preload)

    def _put_back(self, worker: Worker, job: _Job[Task], death: WorkerDied) -> None:
        """Let a lost task be the next to be run."""
        worker.close()
        job.lost += 1
        if job.lost == TRIES:
            raise OSError(
                f"{death} {TRIES} times over the same task. What is finished is kept: run the same command again, "
                "perhaps with fewer --workers."
            ) from death
        logger.warning("%s; its task is run again (try %d of %d).", death, job.lost + 1, TRIES)
        if job.is_alone:  # the memory of processes that only wait is freed for it
            while self._idle:
                self._idle.pop().close()
        self._lost.append(job)


def results_in_order(results: Iterator[tuple[int, Any]]) -> Iterator[Any]:
    """Yield results by the number of their task, each as soon as all before it are there.

    >>> list(results_in_order(iter([(1, "b"), (0, "a"), (2, "c")])))
    ['a', 'b', 'c']
    """
    early: dict[int, Any] = {}
    due = 0
    for number, result in results:
        early[number] = result
        while due in early:
            yield early.pop(due)
            due += 1
