"""Work ahead in a background thread, so that reading and tokenizing go on while the model computes."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")


def prefetched(items: Iterable[Item], *, depth: int = 2) -> Generator[Item]:
    """Yield the items in their order, produced by a thread that stays at most `depth` of them ahead.

    An error in the thread is raised here, in its place. When the generator is closed early the thread is stopped and
    waited for, so that a file that it reads can be closed afterwards.

    Args:
        items: what to iterate over; only the thread touches it.
        depth: finished items that may wait, 1 or more; they are what the prefetching costs in memory.

    >>> list(prefetched(n * n for n in range(4)))
    [0, 1, 4, 9]
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}; give the number of items that may wait, 1 or more.")
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def offer(kind: str, value: Any) -> bool:
        """Put it into the queue, unless nobody waits for it any more."""
        while not stopped.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not offer("item", item):
                    return
            offer("end", None)
        except BaseException as error:  # whatever it is, it belongs to the consumer
            offer("error", error)
        finally:
            if isinstance(items, Generator):
                items.close()  # here and now: what it holds (a file, another thread) is released in this thread

    thread = threading.Thread(target=produce, name="langcell-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stopped.set()
        thread.join()
