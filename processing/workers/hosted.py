"""An object in a process of its own: where the process dies, another one makes the object and the call is repeated."""

import logging
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from langcell.processing.workers.worker import TRIES, Worker, WorkerDied

logger = logging.getLogger("langcell.workers")


class HostedObject:
    """Calls the methods of an object that another process has made; they only read, so a call can be repeated.

    Args:
        make: Makes the object; it can be pickled, and comes from a module that a new process can import.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._worker: Worker | None = None
        self._generation = 0
        self._numbers = count()

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Return the result of a method.

        Raises:
            OSError: The process died three times over this call.
            Exception: What the object raised, when it was made or by the method.
        """
        return self._repeated(lambda: self._ask("call", 0, method, arguments, options))

    def attributes(self) -> dict[str, Any]:
        """Return the public attributes that the object itself has, by name; raises what `call` raises."""
        return self._repeated(lambda: self._ask("get", 0, "", ()))

    def stream(self, method: str, arguments_after: Callable[[Any], tuple[Any, ...]]) -> Iterator[Any]:
        """Yield what a method yields, one by one; raises what `call` raises.

        Args:
            method: A method that gives an iterator.
            arguments_after: Arguments of the method for what comes after an item; after None, for all of it.
        """
        number, last, opened_in = next(self._numbers), None, -1

        def advance() -> tuple[bool, Any]:
            nonlocal opened_in
            if self._worker is None or opened_in != self._generation:  # the process is another than it was
                self._ask("open", number, method, arguments_after(last))
                opened_in = self._generation
            return self._ask("next", number, method, ())

        while True:
            more, item = self._repeated(advance)
            if not more:
                return
            last = item
            yield item

    def close(self) -> None:
        """End the process; safe to call twice. Another begins where something is asked after that."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _ask(
        self, kind: str, number: int, method: str, arguments: tuple[Any, ...], options: dict[str, Any] | None = None
    ) -> Any:
        if self._worker is None:
            self._worker = Worker(_Host(self._make), preload=[__name__])
            self._generation += 1
        self._worker.ask((kind, number, method, arguments, options or {}))
        return self._worker.answer()

    def _repeated(self, ask: Callable[[], Any]) -> Any:
        for lost in range(1, TRIES + 1):
            try:
                return ask()
            except WorkerDied as death:
                self.close()
                if lost == TRIES:
                    raise OSError(f"{death} {TRIES} times over the same read; run the same command again.") from death
                logger.warning("%s; what it read is read again (try %d of %d).", death, lost + 1, TRIES)
        raise AssertionError("unreachable")


class _Host:
    """The object in its process, and the streams that are open there."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._object: Any = None
        self._streams: dict[int, Iterator[Any]] = {}

    def __call__(self, request: tuple[str, int, str, tuple[Any, ...], dict[str, Any]]) -> Any:
        kind, number, method, arguments, options = request
        if self._object is None:
            self._object = self._make()
        if kind == "get":
            return {name: value for name, value in vars(self._object).items() if not name.startswith("_")}
        if kind == "call":
            return getattr(self._object, method)(*arguments, **options)
        if kind == "open":
            self._streams[number] = iter(getattr(self._object, method)(*arguments))
            return None
        for item in self._streams[number]:
            return True, item
        del self._streams[number]
        return False, None
