"""A lock on what one run at a time may write."""

import sys
from pathlib import Path
from typing import IO


def locked_file(path: Path, output: str | Path) -> IO[str]:
    """Return a file that is locked as long as it is open; the system opens the lock when the process is killed.

    Args:
        path: the file, which is made.
        output: what is being written under the lock, for the message.

    Raises:
        ValueError: another process has the lock.
    """
    file = path.open("w")
    if sys.platform == "win32":  # no such locks there; two runs of one output are left to the user
        return file
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ValueError(f"another run is writing {output} now; wait for it, or name another output.") from None
    return file
