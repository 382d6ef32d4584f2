"""Fresh processes that speak to the small Hub of the tests."""

import json
import subprocess
from pathlib import Path
from typing import Any

from hub_server import TOKEN, Hub
from warm_python import warm_python

USER = Path(__file__).with_name("hub_user.py")


def load_as_user(
    hub: Hub,
    home: Path,
    *asked: dict[str, Any],
    token: str | None = None,
    offline: bool = False,
    by_langcell: bool = False,
) -> list[dict[str, Any]]:
    """What `hub_user.py` makes of each request, in one fresh process with its caches below `home`."""
    arguments = ["langcell"] * by_langcell + [json.dumps(one) for one in asked]
    environment = {"HF_HUB_OFFLINE": "1"} if offline else {}
    done = run(hub, home, "-I", USER, *arguments, token=token, **environment)
    return json.loads(done.stdout.splitlines()[-1])


def run_code(hub: Hub, home: Path, code: str, *arguments: object, token: str | None = TOKEN) -> Any:
    """The JSON that some code prints last, in a fresh process; `arguments` are its sys.argv[1:]."""
    done = run(hub, home, "-c", code, *arguments, token=token)
    return json.loads(done.stdout.splitlines()[-1])


def run_langcell(hub: Hub, home: Path, *arguments: object, token: str | None = TOKEN, code: int = 0) -> str:
    """What the `langcell` command prints, stdout for success and stderr for a refusal."""
    done = run(hub, home, "-m", "langcell.cli", *arguments, token=token, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def run(hub: Hub, home: Path, *command: object, token: str | None, check: bool = True, **more: str):
    """A fresh python process."""
    done = subprocess.run(
        [warm_python(), *map(str, command)],
        env={**hub.environment(home, token=token), "OMP_NUM_THREADS": "1", **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done
