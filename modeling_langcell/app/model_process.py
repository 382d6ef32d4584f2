"""The model in a process of its own: work on it can be ended by a time limit, and a crash does not end the app."""

import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from langcell.app.options import AppOptions
from langcell.one_line import USER_ERRORS, one_line

if TYPE_CHECKING:
    from langcell.app.model_worker import ModelWorker

logger = logging.getLogger("langcell")

_POLL_SECONDS = 0.1
_READY = "ready"


class ModelProcess:
    """Calls the methods of `ModelWorker` in another process, one at a time.

    Args:
        options: options of the app; `time_limit` is for one call.
    """

    def __init__(self, options: AppOptions) -> None:
        self._options = options
        self._lock, self._closed = threading.Lock(), False
        self._start()

    def call(self, method: str, request: Any = None, *, cancelled: Callable[[], bool] = lambda: False) -> Any:
        """Return the result of a method of `ModelWorker`.

        Args:
            method: its name.
            request: its argument.
            cancelled: whether nobody waits for the result any more; the work is ended then.

        Raises:
            ValueError: what the method refused, as one line; or it took too long, was cancelled or crashed. The process
                is started again after the last three.
        """
        with self._lock:
            if self._closed:
                raise ValueError("The app has ended.")
            if self._ready and not self._process.is_alive():  # it was killed while nobody asked for anything
                self._restart()
            self._await_ready()
            self._connection.send((method, request))
            ends = time.monotonic() + self._options.time_limit
            while not self._connection.poll(_POLL_SECONDS):
                if cancelled():
                    self._restart()
                    raise ValueError("The page was closed, and the work for it ended.")
                if time.monotonic() > ends:
                    self._restart()
                    raise ValueError(
                        f"It took more than the {self._options.time_limit} s that this app allows; give fewer cells or "
                        "labels, or start it with a higher time limit."
                    )
            return self._receive()

    def close(self) -> None:
        """End the process, and with it a call that waits for it."""
        self._closed = True
        self._process.kill()
        with self._lock:
            self._end()

    def _start(self) -> None:
        context = get_context("spawn")  # threads of this process, and CUDA, do not survive a fork
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, self._options), daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _restart(self) -> None:
        self._end()
        if self._closed:
            raise ValueError("The app has ended.")
        self._start()

    def _await_ready(self) -> None:
        """Wait until the model is loaded, which no time limit is for."""
        if not self._ready:
            self._ready = self._receive() == _READY

    def _receive(self) -> Any:
        try:
            kind, value = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self._restart()
            raise ValueError(
                f"The process with the model ended (exit code {code}), perhaps because memory ran out; "
                "give fewer cells."
            ) from None
        if kind == "done":
            return value
        if kind == "failed":
            logger.error("%s", value)
            raise ValueError(f"This is a fault of the program, its log has the details: {value.splitlines()[-1]}")
        raise ValueError(value)


def _run(connection: Connection, options: AppOptions) -> None:
    """Answer the app's calls in the other process, until the app is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the app, which then ends this process

    def open_worker() -> "ModelWorker":
        from transformers.utils import logging as transformers_logging

        from langcell.app.model_worker import ModelWorker

        transformers_logging.disable_progress_bar()
        return ModelWorker.open(options)

    kind, worker = _outcome(open_worker)
    if kind != "done":
        connection.send((kind, worker))
        return
    connection.send(("done", _READY))
    while True:
        try:
            method, request = connection.recv()
        except EOFError:
            return
        connection.send(_outcome(partial(getattr(worker, method), request)))


def _outcome(work: Callable[[], Any]) -> tuple[str, Any]:
    """Return the outcome of some work: "done" and its result, "refused" and one line, or "failed" and the traceback."""
    try:
        return "done", work()
    except USER_ERRORS as error:
        return "refused", one_line(error)
    except Exception:
        return "failed", traceback.format_exc().strip()
