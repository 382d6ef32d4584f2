"""Tasks for the tests of scheduling, in a module that worker processes can import."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from langcell.processing.workers.worker import is_expendable


def power_of_two(number: int) -> int:
    return 2**number


def one_over(number: int) -> float:
    return 1 / number


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def note_and_wait(folder: str) -> None:
    """Leave a file named after this process, and then take long."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(120)


def square_slowly(number: int) -> int:
    """Take a hundredth of a second, so that a process can be killed in the midst of it."""
    time.sleep(0.01)
    return number * number


def die_unless_marked(task: tuple[str, int, int]) -> int:
    """End this process at the first calls of a task, which leave a file each.

    Args:
        task: a folder, the number of the task, and how often it ends its process.
    """
    folder, number, times = task
    calls = sorted(Path(folder).glob(f"{number}-*"))
    if len(calls) < times:
        Path(folder, f"{number}-{len(calls)}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def answer_lambda(number: int) -> object:
    return lambda: number


class Counter:
    """An object to be hosted: counts to a number, and ends its process where a file tells it to."""

    def __init__(self, folder: str, deaths: int = 0) -> None:
        self.folder, self.deaths, self.name = Path(folder), deaths, "counter"

    def add(self, first: int, second: int) -> int:
        self._perhaps_die()
        return first + second

    def numbers(self, stop: int, after: int | None) -> Iterator[int]:
        for number in range(0 if after is None else after + 1, stop):
            self._perhaps_die()
            yield number

    def fail(self) -> None:
        raise ValueError("no such cell")

    def _perhaps_die(self) -> None:
        begun = len(list(self.folder.iterdir()))
        Path(self.folder, str(begun)).touch()
        if begun % 3 == 1 and begun < 3 * self.deaths:
            os.kill(os.getpid(), signal.SIGSEGV)


def process_of(_: int) -> int:
    return os.getpid()


class AlwaysDying(Counter):
    """A counter that ends its process in every call."""

    def _perhaps_die(self) -> None:
        os.abort()


def may_this_process_die(_: int) -> bool:
    return is_expendable()
