"""Tasks for the tests of scheduling, in a module that worker processes can import."""

import os
import signal
import time
from pathlib import Path


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
