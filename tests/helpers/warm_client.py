"""Stands for one warm process: hands it pipes, environment and signals, and ends as it ends; see warm_python."""

import json
import os
import signal
import socket
import struct
import sys

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(folder: str, python: str, arguments: list[str]) -> None:
    """Run `python ARGUMENTS` in a process of a server, or in one of its own where that cannot be the same."""
    for name in ("all", "libraries"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"{folder}/{name}")
        connection.set_inheritable(False)
        if pid := _request(connection, arguments):
            break
        connection.close()
    else:
        os.execv(python, [python, *arguments])
    for signum in FORWARDED:
        signal.signal(signum, lambda received, _: os.kill(pid, received))
    status = _answer(connection)
    if status < 0:
        if -status in FORWARDED:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _request(connection: socket.socket, arguments: list[str]) -> int:
    """Ask a server for a process; return its id, or 0."""
    files = [number for number in _open_files() if number != connection.fileno()]
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd(), "files": files}
    content = json.dumps(request).encode()
    socket.send_fds(connection, [struct.pack("i", len(content))], files)
    connection.sendall(content)
    return _answer(connection)


def _open_files() -> list[int]:
    """Return the numbers of all open files, without that of the listing itself."""
    return [number for number in sorted(map(int, os.listdir("/proc/self/fd"))) if _is_open(number)]


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _answer(connection: socket.socket) -> int:
    content = b""
    while len(content) < 4:
        some = connection.recv(4 - len(content))
        if not some:
            sys.exit("the server of warm processes has ended")
        content += some
    return struct.unpack("i", content)[0]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
