"""Scripts that are run in processes of their own."""

import pytest

from langcell import fresh_process
from langcell.fresh_process import FreshProcessError, ask_fresh_process


def script(tmp_path, code):
    path = tmp_path / "script.py"
    path.write_text(code)
    return path


def test_the_last_line_is_the_answer(tmp_path):
    code = "import json, sys; print('loading ...'); print(json.dumps(['bad ' + word for word in sys.argv[1:]]))"
    assert ask_fresh_process(script(tmp_path, code), "a", "b") == ["bad a", "bad b"]


def test_it_sees_neither_secrets_nor_caches_nor_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    code = (
        "import json, os; print(json.dumps([os.environ.get(n, '') for n in ('HF_TOKEN', 'HF_HOME', 'HF_HUB_OFFLINE')]))"
    )
    token, home, offline = ask_fresh_process(script(tmp_path, code))
    assert (token, offline) == ("", "1")
    assert home != str(tmp_path)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param("raise ValueError('no weights')", "ValueError: no weights", id="error"),
        pytest.param("import sys; sys.exit(3)", "exit code 3", id="silent"),
        pytest.param("print('hello')", "exit code 0", id="no_json"),
        pytest.param("", "exit code 0", id="nothing"),
    ],
)
def test_no_answer_is_an_error_with_a_reason(tmp_path, code, reason):
    with pytest.raises(FreshProcessError, match=reason):
        ask_fresh_process(script(tmp_path, code))


def test_a_script_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(fresh_process, "_TIMEOUT_S", 1)
    with pytest.raises(FreshProcessError, match="not done after 1 s"):
        ask_fresh_process(script(tmp_path, "import time; time.sleep(60); print([])"))
