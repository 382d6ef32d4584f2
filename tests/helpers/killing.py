"""Killing worker processes of this one at random moments, as the system does for want of memory."""

import multiprocessing
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def worker_processes() -> list[multiprocessing.process.BaseProcess]:
    return [child for child in multiprocessing.active_children() if child.name == "langcell-worker"]


@contextmanager
def killed_workers(seed: int, *, times: int = 2) -> Iterator[list[int]]:
    """Kill some workers during a block; twice at most, so that no task is lost more often than is borne.

    Yields:
        The ids of those that were killed, which grows.
    """
    ended = threading.Event()
    rng = random.Random(seed)
    killed: list[int] = []

    def kill() -> None:
        while len(killed) < times and not ended.is_set():
            time.sleep(rng.uniform(0.005, 0.06))
            if workers := worker_processes():
                worker = rng.choice(workers)
                worker.kill()
                killed.append(worker.pid or 0)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        ended.set()
        killer.join()
