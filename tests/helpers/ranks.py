"""Starts a command as several processes that find one another, as torchrun would, and waits for all of them."""

import os
import socket
import subprocess
from dataclasses import dataclass

from warm_python import warm_python


@dataclass(frozen=True)
class Done:
    """What one of the processes came to."""

    returncode: int
    stdout: str
    stderr: str


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def run_on_ranks(words: list[str], *, world_size: int = 2, timeout: float = 800) -> list[Done]:
    """Run `python WORDS` once for each rank; kills all of them when the time is over."""
    shared = os.environ | {"WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    processes = [
        subprocess.Popen(
            [warm_python(), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(world_size)},
        )
        for rank in range(world_size)
    ]
    try:
        outputs = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [Done(p.returncode, *output) for p, output in zip(processes, outputs, strict=True)]
