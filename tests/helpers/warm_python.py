"""A Python for tests whose processes begin with imports done, which take seconds each.

`warm_python()` is used in place of `sys.executable`. The processes are forked from a server that has done the imports:
each has its own memory, pipes, environment, folder, signals and exit code. They begin with torch, transformers and
langcell; where variables of the Hub differ from those of the tests, or with `-I` or `-P`, with torch and what else does
not read them. Tests of what a process imports take `sys.executable`.
"""

import atexit
import multiprocessing
import multiprocessing.spawn
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil

HELPERS = Path(__file__).resolve().parent
_SERVERS: list[int] = []
_STARTED_WITH: dict[str, str] = {}


@cache
def warm_python() -> str:
    """Return the path of an executable that takes `-c CODE`, `-m MODULE` and `SCRIPT` as Python does.

    The server starts with the first call of a test process, and ends with that process.
    """
    if sys.platform != "linux":
        return sys.executable  # elsewhere, libraries that start threads do not survive a fork
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    wrapper = Path(folder.name, "python")
    client = [sys.executable, "-S", "-E", str(HELPERS / "warm_client.py"), folder.name, sys.executable]
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(client)} "$@"\n')
    wrapper.chmod(0o755)
    words = [sys.executable, str(HELPERS / "warm_server.py"), folder.name, str(wrapper)]
    environment = dict(os.environ)
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    atexit.register(folder.cleanup)
    atexit.register(_end, server)
    assert server.stdout is not None
    for _ in range(2):
        pid = server.stdout.readline()
        assert pid, "a server of warm processes did not start"
        _SERVERS.append(int(pid))
    _STARTED_WITH.update(environment)
    return str(wrapper)


def warm_environment() -> dict[str, str]:
    """Return the environment that the imports were done with, from which a test may have gone on."""
    warm_python()
    return dict(_STARTED_WITH)


def warm_processes() -> list[psutil.Process]:
    """Return all warm processes that run at the moment, whoever asked for them."""
    children = [child for pid in _SERVERS[:1] for child in psutil.Process(pid).children(recursive=True)]
    return [child for child in children if child.pid not in _SERVERS]


def warm_commands(folder: Path, *names: str) -> Path:
    """Write commands of this environment that run in warm processes; return their folder, for the PATH."""
    folder.mkdir()
    for name in names:
        command, script = folder / name, Path(sys.executable).parent / name
        command.write_text(f'#!/bin/sh\nexec {shlex.join([warm_python(), str(script)])} "$@"\n')
        command.chmod(0o755)
    return folder


@contextmanager
def warm_spawning() -> Iterator[None]:
    """Have processes that multiprocessing spawns in the meantime begin warm, too."""
    before = multiprocessing.spawn.get_executable()
    multiprocessing.set_executable(warm_python())
    try:
        yield
    finally:
        multiprocessing.set_executable(before)


def _end(server: subprocess.Popen) -> None:
    for pipe in (server.stdin, server.stdout):
        assert pipe is not None
        pipe.close()
    server.wait()
