"""Batches side by side: on a CPU each thread computes a batch of its own, with one thread of torch.

Threads that share a batch wait for each other after every operation, and burn time while they wait: two of them are
hardly faster than one where a batch takes some milliseconds. Batches need nothing of each other.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Result = TypeVar("Result")


def batches_at_once(model: Any) -> int:
    """Return how many batches are computed side by side: as many as torch has threads, where a model can.

    1 on other devices, for a model of another library, and where accelerate brings weights and takes them away again.
    """
    is_here = isinstance(model, nn.Module) and model.device.type == "cpu" and not getattr(model, "hf_device_map", None)
    return torch.get_num_threads() if is_here else 1


class SideBySide(Generic[Result]):
    """Calls that run, at most `n` at once, and whose results come in the order of the calls; made by `side_by_side`."""

    def __init__(self, n: int, executor: ThreadPoolExecutor | None) -> None:
        self._n, self._executor = n, executor
        self._running: deque[tuple[Any, Future[Result]]] = deque()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def has_room(self) -> bool:
        """Whether another call may start."""
        return len(self._running) < self._n

    def one_at_a_time(self) -> None:
        """Start no call beside another from now on."""
        self._n = 1

    def start(self, function: Callable[[Any], Result], what: Any) -> None:
        """Call the function; without threads of its own here and now."""
        if self._executor is not None:
            self._running.append((what, self._executor.submit(function, what)))
            return
        done: Future[Result] = Future()
        done.set_result(function(what))
        self._running.append((what, done))

    def first(self) -> tuple[Any, Result]:
        """Wait for the call that started first; returns what it was given, and its result."""
        what, future = self._running.popleft()
        return what, future.result()


@contextmanager
def side_by_side(n: int) -> Iterator[SideBySide[Any]]:
    """Give a room for `n` calls at once, each with one thread of torch; torch has its threads again afterwards."""
    if n == 1:
        yield SideBySide(1, None)
        return
    named = {"thread_name_prefix": "langcell-batch", "initializer": torch.set_num_threads, "initargs": (1,)}
    with torch_keeps_threads(), ThreadPoolExecutor(n, **named) as executor:
        try:
            yield SideBySide(n, executor)
        finally:
            executor.shutdown(cancel_futures=True)


@contextmanager
def torch_keeps_threads() -> Iterator[None]:
    """Give torch its number of threads again afterwards: threads that set theirs set it for libraries of all."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
