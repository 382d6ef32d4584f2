"""Running a script of ours on a folder in a process that has never seen it: fresh caches, no network, no secrets."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_TIMEOUT_S = 900
# What a process that runs the code of a folder does not need to know.
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "API_KEY", "ACCESS_KEY")


class FreshProcessError(RuntimeError):
    """A script was not done in time or ended without a result; the text is the reason."""


def ask_fresh_process(script: str | Path, *arguments: str) -> list[str]:
    """Return what a script found wrong with a folder.

    The script runs as a file of its own and not as a module of langcell: only what the folder carries is used.

    Args:
        script: a Python file whose last line of output is a JSON list of problems.
        arguments: arguments of its command line.

    Raises:
        FreshProcessError: it did not get that far.
    """
    known = {name: value for name, value in os.environ.items() if not any(word in name for word in _SECRET_WORDS)}
    with tempfile.TemporaryDirectory() as home:
        caches = {"HF_HOME": home, "HF_MODULES_CACHE": f"{home}/modules", "HF_DATASETS_CACHE": f"{home}/datasets"}
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(script), *arguments],
                env={**known, **caches, "HF_HUB_OFFLINE": "1"},
                cwd=home,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise FreshProcessError(f"not done after {_TIMEOUT_S} s") from error
    try:
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        pass
    last_line = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise FreshProcessError(last_line[:300])
