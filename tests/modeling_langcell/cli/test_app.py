"""`langcell app` as a process: it answers on this machine alone, keeps its limits, and leaves nothing when it ends."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tiny_sample import save_sample_model
from typer.testing import CliRunner
from warm_python import warm_python

from langcell.cli.commands import app


def langcell_app(folder: Path, *options: str) -> list[str]:
    return [warm_python(), "-m", "langcell.cli", "app", "--model", str(folder), "--device", "cpu", *options]


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_app_from_start_to_end(tmp_path, signum):
    model = save_sample_model(tmp_path / "model")
    (tmp_path / "tmp").mkdir()
    command = langcell_app(model, "--max-upload-mb", "1")
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if "LangCell app" in line)
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            assert found, line
            assert "LangCell" in httpx.get(found[0], timeout=300).text
            for size, status in ((500_000, 200), (1_500_000, 413)):
                files = {"files": ("cells.h5ad", b"\0" * size)}
                assert httpx.post(f"{found[0]}gradio_api/upload", files=files, timeout=300).status_code == status
            assert len(list((tmp_path / "tmp").glob("langcell-app-*/*/cells.h5ad"))) == 1
            process.send_signal(signum)
            assert process.wait(300) == 0
        finally:
            process.kill()
    assert not list((tmp_path / "tmp").glob("langcell-app-*"))


def test_a_model_that_is_none_is_one_line(tmp_path):
    result = CliRunner().invoke(app, ["app", "--model", str(tmp_path)])
    assert result.exit_code == 2
    assert re.fullmatch(r"langcell: .* is not a complete LangCell folder: .*\n", result.stderr)


def test_options_are_checked_before_anything_is_loaded():
    result = CliRunner().invoke(app, ["app", "--time-limit", "0"])
    assert (result.exit_code, result.stderr) == (2, "langcell: time_limit is 0; give 1 or more.\n")


@pytest.mark.parametrize("library", ["gradio", "plotly.graph_objects"])
def test_without_the_extra(monkeypatch, library):
    for name in [name for name in sys.modules if name.startswith(("langcell.hub_cards.space", "langcell.app"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    result = CliRunner().invoke(app, ["app"])
    assert result.exit_code == 2
    assert 'pip install "langcell[app]"' in result.stderr
