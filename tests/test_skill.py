"""The skill for agents: every command in it is run, on cells that the package brings along."""

import re

import pytest
import yaml
from page_blocks import command_lines, langcell_arguments
from places import ROOT
from typer.testing import CliRunner

from langcell.cli.commands import app
from langcell.sample_data import sample_cells

SKILL = ROOT / "skills" / "langcell" / "SKILL.md"


def test_the_front_matter_has_what_agents_look_for():
    front = yaml.safe_load(SKILL.read_text().split("---\n")[1])
    assert front["name"] == SKILL.parent.name
    assert re.fullmatch(r"[a-z0-9-]{1,64}", front["name"])
    assert 50 < len(front["description"]) <= 1024
    assert front["license"] == "Apache-2.0"


@pytest.mark.slow
@pytest.mark.usefixtures("numbers_of_this_machine")
# Of UMAP and its compiler, and of measures over types that a fit on few cells never names.
@pytest.mark.filterwarnings("ignore:n_jobs value 1 overridden:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_command_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = sample_cells()[:120].copy()
    cells.obs["cell_type"] = cells.obs["bulk_labels"]
    cells.obs["some_labels"] = ["B cell"] * 5 + ["NK cell"] * 5 + [None] * 110
    for name in ("pbmc.h5ad", "labelled.h5ad"):
        cells.write_h5ad(name)
    commands = [langcell_arguments(words) for words in command_lines(SKILL.read_text())]
    assert len(commands) == 7
    for arguments in commands:
        assert arguments is not None
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (arguments, result.output)
