import threading
import time

import pytest

from langcell.inference.running.prefetch import prefetched


def until(condition) -> None:
    """Wait until it is so; a second is a long time here, unless the machine is busy."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "langcell-prefetch"]


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_every_item_once_and_in_order(depth):
    assert list(prefetched(range(50), depth=depth)) == list(range(50))
    assert list(prefetched([], depth=depth)) == []
    assert not threads()


def test_it_works_ahead_but_not_further_than_the_depth():
    made = []

    def make():
        for number in range(20):
            made.append(number)
            yield number

    items = prefetched(make(), depth=3)
    assert next(items) == 0
    until(lambda: len(made) == 5)  # the one that was taken, three that wait, and one that finds no place
    time.sleep(0.05)
    assert len(made) == 5
    items.close()


def test_an_error_comes_in_its_place():
    def make():
        yield 1
        raise OSError("the disk is gone")

    items = prefetched(make())
    assert next(items) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)
    assert not threads()


def test_closing_stops_the_threads_and_lets_go_of_what_they_read():
    closed = []

    def make():
        try:
            yield from range(1000)
        finally:
            closed.append(threading.current_thread().name)

    items = prefetched(number * 2 for number in prefetched(make()))
    assert next(items) == 0
    assert len(threads()) == 2
    items.close()
    until(lambda: not threads())
    assert closed == ["langcell-prefetch"]


def test_the_depth_is_positive():
    with pytest.raises(ValueError, match="depth is 0; give the number"):
        next(prefetched([1], depth=0))
