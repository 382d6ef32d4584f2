"""Servers of warm processes: have imports done and fork one process per request; see warm_python.

There are two. Processes of the first have all imports done. Those of the second have done the imports of libraries that
read nothing of the Hub from the environment, and know no langcell.
"""

import fcntl
import gc
import json
import multiprocessing
import os
import random
import runpy
import selectors
import signal
import socket
import struct
import sys
import tempfile
import threading
import traceback
from atexit import _run_exitfuncs
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from kept_machine_code import keep_machine_code

# What transformers imports of others, which is most of what its own import takes.
LIBRARIES = (
    "anndata",
    "pyarrow",
    "scipy.stats",
    "sklearn.metrics",
    "sympy",
    "torch._dynamo",
    "torch.distributed.tensor",
)
MODULES = (
    "accelerate.commands.launch",
    "langcell.cli.commands",
    "langcell.inference.annotation",
    "langcell.training.finetune",
    "langcell.training.pretrain",
    "torch.distributed.run",
)
# What libraries read when they are imported: another value needs a process that imports them itself.
READ_BY_LIBRARIES = ("PYTHON", "OMP_", "MKL_", "NUMBA_", "CUDA_", "LD_")
READ_BY_ALL = (*READ_BY_LIBRARIES, "HF_", "TRANSFORMERS_")
OF_THE_HUB = {"accelerate", "datasets", "huggingface_hub", "langcell", "peft", "transformers"}
# Numbers that no file of a process has, from which files are moved to their own.
_ABOVE_ALL_FILES = 500


@dataclass(frozen=True)
class Kind:
    """What the processes of a server begin with.

    Attributes:
        read: beginnings of the names of variables that the imports have read.
        flags: those of Python's flags that make no difference to the imports.
    """

    read: tuple[str, ...]
    flags: tuple[str, ...]


ALL = Kind(READ_BY_ALL, ("-u", "-B"))
LIBRARIES_ALONE = Kind(READ_BY_LIBRARIES, ("-u", "-B", "-I", "-P"))


def main(folder: str, wrapper: str) -> None:
    """Run both servers until the standard input is closed, which is when the test process ends."""
    keep_machine_code()
    for name in LIBRARIES:
        import_module(name)
    assert not OF_THE_HUB & {name.partition(".")[0] for name in sys.modules}
    sys.executable = wrapper
    multiprocessing.set_executable(wrapper)
    pid = os.fork()
    if pid == 0:
        for name in MODULES:
            import_module(name)
        import_module("lean").leave_out_what_takes_time()  # as in the tests themselves
        serve(f"{folder}/all", ALL)
        os._exit(0)
    serve(f"{folder}/libraries", LIBRARIES_ALONE)
    os.waitpid(pid, 0)


def serve(address: str, kind: Kind) -> None:
    """Answer requests until the standard input is closed."""
    assert threading.active_count() == 1, "a fork keeps one thread alone"
    gc.collect()
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    os.write(sys.stdout.fileno(), f"{os.getpid()}\n".encode())
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    return
                if key.fileobj is listener:
                    _begin(listener, selector, kind)
                elif key.data is not None:
                    _go_on(key, selector)


def _begin(listener: socket.socket, selector: selectors.BaseSelector, kind: Kind) -> None:
    """Fork the process of a new request, and watch it and its client."""
    connection, _ = listener.accept()
    header, received, _, _ = socket.recv_fds(connection, 4, 64)
    content = _read(connection, struct.unpack("i", header)[0]) if header else b""
    request = json.loads(content or "null")
    if request is None or not _is_warm(request, kind):
        _tell(connection, 0)
        for number in received:
            os.close(number)
        connection.close()
        return
    pid = os.fork()
    if pid == 0:
        selector.close()
        listener.close()
        connection.close()
        _become(request, received, kind)
    for number in received:
        os.close(number)
    _tell(connection, pid)
    process = os.pidfd_open(pid)
    selector.register(process, selectors.EVENT_READ, ("ended", pid, process, connection))
    selector.register(connection, selectors.EVENT_READ, ("left", pid, process, connection))


def _go_on(key: selectors.SelectorKey, selector: selectors.BaseSelector) -> None:
    """Tell a client how its process ended, or end the process of a client that was killed."""
    what, pid, process, connection = key.data
    if connection.fileno() < 0:  # closed by the event before this one
        return
    if what == "left":
        os.kill(pid, signal.SIGKILL)
        with suppress(ProcessLookupError):  # of a process that has not made its group yet
            os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    selector.unregister(process)
    selector.unregister(connection)
    os.close(process)
    _tell(connection, os.waitstatus_to_exitcode(status))
    connection.close()


def _tell(connection: socket.socket, number: int) -> None:
    with suppress(OSError):  # of a client that was killed
        connection.sendall(struct.pack("i", number))


def _is_warm(request: dict[str, Any], kind: Kind) -> bool:
    """Whether a process with the imports done is the same as one that does them."""
    given = {name: value for name, value in request["environment"].items() if name.startswith(kind.read)}
    own = {name: value for name, value in os.environ.items() if name.startswith(kind.read)}
    _, words = _flags_and_words(request["arguments"], kind)
    return given == own and bool(words) and (words[0] in ("-c", "-m") or not words[0].startswith("-"))


def _flags_and_words(arguments: list[str], kind: Kind) -> tuple[list[str], list[str]]:
    """Split off the flags that a warm process can have."""
    n_flags = next((place for place, word in enumerate(arguments) if word not in kind.flags), len(arguments))
    return arguments[:n_flags], arguments[n_flags:]


def _become(request: dict[str, Any], received: list[int], kind: Kind) -> None:
    """Be the process that was asked for, to its end."""
    os.setsid()
    moved = [fcntl.fcntl(number, fcntl.F_DUPFD, _ABOVE_ALL_FILES) for number in received]
    for number, wanted in zip(moved, request["files"], strict=True):
        os.dup2(number, wanted)
    for number in {*moved, *received} - set(request["files"]):
        os.close(number)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    tempfile.tempdir = None
    random.seed()
    sys.modules["numpy"].random.seed()
    flags, words = _flags_and_words(request["arguments"], kind)
    _open_streams(unbuffered="-u" in flags)
    sys.orig_argv = [sys.executable, *flags, *words]
    code = _run(words, flags)
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]  # waits for threads, as the end of Python does
    _run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _open_streams(*, unbuffered: bool) -> None:
    """Make the three streams of the numbers 0 to 2, which the server's own are not."""
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False, buffering=1 if unbuffered else -1)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", closefd=False, buffering=1, errors="backslashreplace")


def _search(first: str, flags: list[str]) -> None:
    """Search modules where Python does; the first place is that of what is run, unless flags exclude it."""
    sys.path[0] = first
    if "-I" in flags:
        excluded = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[1:] = [place for place in sys.path[1:] if place not in excluded]
    if "-I" in flags or "-P" in flags:
        del sys.path[0]


def _run(words: list[str], flags: list[str]) -> int:
    """Run code, a module or a script, and return the exit code."""
    try:
        if words[0] == "-m":
            sys.argv = ["-m", *words[2:]]
            _search(os.getcwd(), flags)
            runpy._run_module_as_main(words[1])  # pyright: ignore[reportAttributeAccessIssue]  # what Python does
            return 0
        main = sys.modules["__main__"] = ModuleType("__main__")
        if words[0] == "-c":
            sys.argv = ["-c", *words[2:]]
            _search("", flags)
            code = compile(words[1], "<string>", "exec")
        else:
            sys.argv = words
            _search(os.path.dirname(os.path.abspath(words[0])), flags)
            main.__file__ = words[0]
            with open(words[0], "rb") as file:
                code = compile(file.read(), words[0], "exec")
        exec(code, main.__dict__)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _read(connection: socket.socket, length: int) -> bytes:
    """Return so many bytes, or none where the client left before."""
    content = b""
    while len(content) < length:
        some = connection.recv(length - len(content))
        if not some:  # the client was killed
            return b""
        content += some
    return content


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
