"""A process that answers requests, one at a time, and that may die without taking the run with it.

A native library that crashes, or the system that wants memory back, ends the process and nothing else. The one who
asked gets a `WorkerDied` and asks another process.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

TRIES = 3
"""How often the same work is given to a process before it is taken for the cause."""

_DONE, _FAILED = "done", "failed"
_GRACE_SECONDS = 10.0


class WorkerDied(Exception):
    """The process has ended without an answer; the text says how."""


class WorkerTraceback(Exception):
    """The traceback that an error had in the process it comes from."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Worker:
    """A process that calls one function on each request.

    Args:
        function: It can be pickled, and comes from a module that a new process can import.
        preload: Modules that are imported once, where the processes of this machine are forked from.
    """

    def __init__(self, function: Callable[[Any], Any], *, preload: Sequence[str] = ()) -> None:
        context = _context([__name__, *preload])
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function, dict(os.environ)), daemon=True)
        self.process.name = "langcell-worker"
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        self._has_answered = False

    def ask(self, request: Any) -> None:
        """Send a request.

        Raises:
            WorkerDied: There is nobody to take it.
        """
        try:
            self.connection.send(request)
        except (BrokenPipeError, ConnectionError) as error:
            raise self._death() from error

    def answer(self) -> Any:
        """Wait for the result of the request that was sent last.

        Raises:
            WorkerDied: The process ended before that.
            OSError: The process could not begin.
            Exception: What the function raised.
        """
        try:
            kind, value, trace = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            raise self._death() from error
        self._has_answered = True
        if kind == _FAILED:
            raise value from WorkerTraceback(trace)
        return value

    @property
    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self.process.is_alive()

    def close(self, *, kill: bool = False) -> None:
        """End the process after the request that it works on, or at once; safe to call twice."""
        self.connection.close()
        if kill:
            self.process.kill()
        self.process.join()

    def _death(self) -> Exception:
        self.process.join(_GRACE_SECONDS)
        code = self.process.exitcode
        if code == 1 and not self._has_answered:
            return OSError(
                "A worker process could not begin; the lines above say why. In a script, put what starts work under "
                "`if __name__ == '__main__':`."
            )
        return WorkerDied(f"A worker process was ended from outside ({_how(code)})")


def is_expendable() -> bool:
    """Return whether this process may die: it is a worker, of ours or of another library, and cannot have children."""
    return bool(multiprocessing.current_process().daemon)


def _how(code: int | None) -> str:
    """Return what an exit code says.

    >>> _how(-9), _how(3)
    ('SIGKILL, perhaps because memory ran out', 'exit code 3')
    """
    if code is None or code >= 0:
        return f"exit code {code}"
    name = next((each.name for each in signal.Signals if each == -code), f"signal {-code}")
    return f"{name}, perhaps because memory ran out" if name == "SIGKILL" else name


def _context(modules: list[str]) -> Any:
    """Return how processes are started: from a server that has imported all they need, so that they share that memory.

    They are not forked from this process, which may have threads that hold locks.
    """
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(modules)
    return context


def _serve(connection: Connection, function: Callable[[Any], Any], environment: dict[str, str]) -> None:
    """Answer requests until nobody asks any more."""
    os.environ.update(environment)  # that of the run, which may have changed since the server began
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the run, which then ends this process
    _end_with_parent()
    while True:
        try:
            request = connection.recv()
        except (EOFError, ConnectionError):
            return
        try:
            answer = (_DONE, function(request), "")
        except Exception as error:
            answer = (_FAILED, _picklable(error), traceback.format_exc())
        try:
            connection.send(answer)
        except ConnectionError:
            return
        except Exception as error:  # a result that cannot be pickled
            connection.send((_FAILED, _picklable(error), traceback.format_exc()))


def _end_with_parent() -> None:
    """Let this worker end when the process that started it is killed, also in the middle of its work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), name="langcell-parent", daemon=True).start()


def _picklable(error: Exception) -> Exception:
    """Return the error itself, or its text where it would not arrive."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
