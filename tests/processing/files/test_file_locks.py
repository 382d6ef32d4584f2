import subprocess
import sys

import pytest

from langcell.processing.files.file_locks import locked_file

HOLD = """
import sys, time
from pathlib import Path
from langcell.processing.files.file_locks import locked_file
file = locked_file(Path(sys.argv[1]), "out")
print("locked", flush=True)
time.sleep(600)
"""


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(ValueError, match="another run is writing out now; wait for it"):
            locked_file(path, "out")
        other.kill()
    locked_file(path, "out").close()
