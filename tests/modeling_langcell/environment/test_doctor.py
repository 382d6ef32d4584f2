import sys
from collections import namedtuple

import pytest
import torch
from typer.testing import CliRunner

from langcell.cli.commands import app
from langcell.environment import doctor, parts
from langcell.environment.doctor import as_lines, examine
from langcell.environment.parts import Part, extras, parts_of, version_lines


def test_the_version_names_the_parts_that_decide_what_is_computed() -> None:
    result = CliRunner().invoke(app, ["--version"], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == version_lines()
    assert f"torch {torch.__version__}" in result.stdout
    assert result.stdout.splitlines()[1] == f"python {sys.version.split()[0]}"


def test_the_doctor_finds_nothing_wrong_here() -> None:
    result = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 0, result.stdout
    assert result.stdout.rstrip().endswith("langcell can run here.")
    assert "langcell-mini is here" in result.stdout


def test_what_is_missing_or_old_is_named_with_the_command_that_gets_it(monkeypatch) -> None:
    known = {"torch": "2.1.0", "anndata": None, "cellxgene-census": None}
    installed = parts._installed
    monkeypatch.setattr(parts, "_installed", lambda name: known[name] if name in known else installed(name))
    findings = examine()
    text = "\n".join(as_lines(findings))
    assert 'torch 2.1.0, and >=2.10 is needed\n    -> pip install "torch>=2.10"' in text
    assert 'anndata is missing\n    -> pip install "anndata>=0.12' in text
    assert "census: not usable (cellxgene-census is missing" in text
    assert '-> pip install "langcell[census]"' in text
    assert text.endswith("2 things keep langcell from running.")
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 1


def test_extras_are_those_for_users_and_have_parts_of_their_own() -> None:
    assert {"train", "census", "scale", "onnx"} <= set(extras())
    assert not {"dev", "all", "docs"} & set(extras())
    assert {part.name for part in parts_of("onnx")} == {"onnx", "onnxruntime", "onnxscript"}
    assert "torch" in {part.name for part in parts_of()}
    assert "onnx" not in {part.name for part in parts_of()}
    assert all(isinstance(part, Part) and part.fits for part in parts_of())


@pytest.mark.parametrize(("gigabytes", "advised"), [(1, True), (100, False)])
def test_little_room_is_told(gigabytes: int, advised: bool, monkeypatch) -> None:
    usage = namedtuple("Usage", "total used free")(0, 0, gigabytes * 10**9)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: usage)
    rooms = [finding for finding in examine() if "GB free for" in finding.text]
    assert rooms
    assert all(bool(finding.advice) == advised for finding in rooms)


def test_torch_that_cannot_be_imported_is_a_fault(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert any(finding.is_fault and "torch cannot be imported" in finding.text for finding in doctor._devices())
