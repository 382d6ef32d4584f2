"""What stands for Python in other tests does what Python does; see helpers/warm_python.py."""

import os
import signal
import subprocess
import sys
import time

import pytest
from warm_python import warm_environment, warm_processes, warm_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are warm on Linux alone")


def ran(*words: str, python: str | None = None, **options) -> tuple[int, str, str]:
    done = subprocess.run([python or warm_python(), *words], capture_output=True, text=True, **options)
    return done.returncode, done.stdout, done.stderr.strip().rpartition("\n")[2]


def test_a_process_has_its_words_and_streams_and_begins_with_the_imports_done():
    code = "import sys; print(sys.argv[1:], 'torch' in sys.modules, sys.stdin.read()); sys.exit(3)"
    assert ran("-c", code, "a", "b", input="said", env=warm_environment()) == (3, "['a', 'b'] True said\n", "")


def test_a_script_and_a_module_run_in_their_folder_and_environment(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import os, sys; from beside import x\nif __name__ == '__main__': print(os.getcwd(), os.environ['MINE'], x)"
    )
    (tmp_path / "beside.py").write_text("x = 5")
    options = {"cwd": tmp_path, "env": os.environ | {"MINE": "yes"}}
    assert ran("mine.py", **options) == ran("-m", "mine", **options) == (0, f"{tmp_path} yes 5\n", "")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param("1 / 0", (1, "", "ZeroDivisionError: division by zero"), id="error"),
        pytest.param("import sys; sys.exit('no')", (1, "", "no"), id="message"),
        pytest.param("import os; os.kill(os.getpid(), 9)", (-9, "", ""), id="killed"),
        pytest.param("import atexit; atexit.register(print, 'end')", (0, "end\n", ""), id="atexit"),
    ],
)
def test_it_ends_as_python_ends(code, expected):
    assert ran("-c", code) == expected


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_who_ends_it_ends_the_process_itself(signum):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with subprocess.Popen([warm_python(), "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert pid in [each.pid for each in warm_processes()]
        process.send_signal(signum)
        assert process.wait(300) == -signum
    deadline = time.monotonic() + 300
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_libraries_read_when_they_are_imported_makes_a_process_that_imports_them():
    loaded = "[name in sys.modules for name in ('torch', 'transformers', 'langcell')]"
    code = f"import os, sys; print({loaded}, os.environ['HF_HOME'])"
    for words in (["-c", code], ["-I", "-c", code], ["-P", "-c", code]):
        assert ran(*words, env=os.environ | {"HF_HOME": "/nowhere"}) == (0, "[True, False, False] /nowhere\n", "")
    assert ran("-c", code, env=os.environ | {"HF_HOME": "", "PYTHONSAFEPATH": "1"})[1] == "[False, False, False] \n"
    assert ran("-X", "utf8", "-c", "import sys; print('torch' in sys.modules)") == (0, "False\n", "")


@pytest.mark.parametrize("flag", ["-I", "-P", "-B"])
def test_it_searches_modules_where_python_does(tmp_path, flag):
    (tmp_path / "mine.py").write_text("import sys; print(sys.path)")
    expected = ran(flag, "mine.py", python=sys.executable, cwd=tmp_path, env=os.environ)
    assert ran(flag, "mine.py", cwd=tmp_path, env=os.environ | {"HF_HOME": "/nowhere"}) == expected
    assert expected[0] == 0
