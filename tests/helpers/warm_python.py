"""A Python for tests whose processes begin with imports done, which take seconds each.

`warm_python()` is used in place of `sys.executable`. The processes are forked from a server that has done the imports:
each has its own memory, pipes, environment, folder, signals and exit code. They begin with torch, transformers and
langcell; where variables of the Hub differ from those of the tests, or with `-I` or `-P`, with torch and what else does
not read them. Tests of what a process imports take `sys.executable`.
"""

import atexit
import multiprocessing
import multiprocessing.spawn
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

HELPERS = Path(__file__).resolve().parent


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
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    atexit.register(folder.cleanup)
    atexit.register(_end, server)
    assert server.stdout is not None
    for _ in range(2):
        assert server.stdout.readline() == b"ready\n", "a server of warm processes did not start"
    return str(wrapper)


def warm_commands(folder: Path, *names: str) -> Path:
    """Write commands of this environment that run in warm processes; return their folder, for the PATH."""
    folder.mkdir()
    for name in names:
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec {warm_python()} {shlex.quote(str(Path(sys.executable).parent / name))} "$@"\n')
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
