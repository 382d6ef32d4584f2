import json

import anndata
import numpy as np
import pandas as pd
import pytest
import tiny
from typer.testing import CliRunner

from langcell.cli.commands import app
from langcell.inference.naming.calibration import Calibration

N_CELLS = 24
TYPES = ["B cell", "T cell", "monocyte", "unknown"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    obs = pd.DataFrame({"type": np.tile(TYPES, N_CELLS // 4)}, index=[f"cell{i}" for i in range(N_CELLS)])
    adata = anndata.AnnData(tiny.tiny_counts(N_CELLS), obs=obs, var=pd.DataFrame(index=tiny.tiny_gene_names()))
    adata.write_h5ad(path := tmp_path_factory.mktemp("cells") / "cells.h5ad")
    return path


def calibrate(*arguments):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


@pytest.fixture
def options(cells, tiny_model_dir, tmp_path):
    output = tmp_path / "calibration.json"
    return [cells, "--label-column", "type", "--model", tiny_model_dir, "--device", "cpu", "-o", output]


def test_it_writes_a_calibration_that_annotate_takes(options, cells, tiny_model_dir, tmp_path):
    result = calibrate(*options, "--target-risk", 0.9)
    assert result.exit_code == 0, result.output
    assert "Held-out cells: 9" in result.stdout
    assert "expected calibration error" in result.stdout
    calibration = Calibration.load(tmp_path / "calibration.json")
    assert calibration.fitted_with["labels"] == ["B cell", "T cell", "monocyte"]
    assert calibration.fitted_with["fit_cells"] == 9  # cells of type "unknown" are left out
    assert (tmp_path / "calibration.png").is_file()
    used = ["--labels", "B cell,T cell,monocyte", "--unknown", tmp_path / "calibration.json"]
    output = tmp_path / "named.h5ad"
    words = ["annotate", cells, "-o", output, "--model", tiny_model_dir, "--device", "cpu", *used]
    named = CliRunner().invoke(app, [str(word) for word in words])
    assert named.exit_code == 0, named.output
    obs = anndata.read_h5ad(output).obs
    unknown = obs["langcell_label"] == "unknown"
    assert (obs["langcell_confidence"][unknown] < calibration.threshold).all()
    assert (obs["langcell_confidence"][~unknown] >= np.float32(calibration.threshold)).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        pytest.param({"monocyte": None, "B cell": None, "T cell": None}, None, id="another order"),
        pytest.param({"monocyte": None, "B cell": None, "T cell": "CL:0000084"}, None, id="the text by its id"),
        pytest.param(
            {"monocyte": None, "B cell": "makes antibodies", "T cell": None},
            "The calibration was fitted with another text for 'B cell', 'cell type: b cell. ",
            id="another text",
        ),
        pytest.param({"B cell": None, "T cell": None}, "labels, among them 'monocyte', which are not", id="fewer"),
        pytest.param({"B cell": None, "NK cell": None}, "fitted without the labels 'NK cell'; run", id="others"),
    ],
)
def test_labels_of_a_calibration_may_change_their_order_alone(
    options, cells, tiny_model_dir, tmp_path, labels, message
):
    assert calibrate(*options, "--target-risk", 0.9).exit_code == 0
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    used = ["--labels-file", tmp_path / "labels.json", "--unknown", tmp_path / "calibration.json", "--device", "cpu"]
    words = ["annotate", cells, "-o", tmp_path / "named.h5ad", "--model", tiny_model_dir, *used]
    named = CliRunner().invoke(app, [str(word) for word in words])
    assert named.exit_code == (0 if message is None else 2), named.output
    assert (message or "") in named.stderr
    assert (tmp_path / "named.h5ad").is_file() == (message is None)


@pytest.mark.parametrize(("seed", "few"), [pytest.param(0, True, id="few"), pytest.param(4, False, id="most")])
def test_a_threshold_that_names_few_cells_is_pointed_out(options, tmp_path, seed, few):
    result = calibrate(*options, "--target-risk", 0.9, "--seed", seed)
    assert result.exit_code == 0, result.output
    held_out = json.loads((tmp_path / "calibration.json").read_text())["fitted_with"]["held_out"]
    assert (held_out["coverage_at_threshold"] < 0.5) == few
    assert ("the others become unknown" in " ".join(result.stdout.split())) == few


def test_types_that_are_no_candidates(options, tmp_path):
    result = calibrate(*options, "--absent-types", "T cell", "--target-risk", 0.95)
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "calibration.json").read_text())["fitted_with"]
    assert facts["labels"] == ["B cell", "monocyte"]
    assert facts["absent_types"] == ["T cell"]
    assert facts["fit_cells"] + facts["held_out"]["cells"] == 18


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--absent-types", "neuron"), "--absent-types names ['neuron']", id="no_such_type"),
        pytest.param(("--absent-types", "B cell,T cell"), "leaves 1 candidates of 3", id="too_few_left"),
        pytest.param(("--target-risk", 0.1, "--target-accuracy", 0.9), "not both", id="two_targets"),
        pytest.param(("--alpha", 3), "alpha is 3.0", id="alpha"),
        pytest.param(("--fit-share", 0), "fit_share is 0", id="fit_share"),
        pytest.param(("-o", "calibration.txt"), "name a .json file", id="suffix"),
        pytest.param(("--label-column", "nope"), "unknown column 'nope'", id="column"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_nothing_is_written(options, tmp_path, arguments, message):
    result = calibrate(*options, *arguments)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("langcell:")]
    assert message in line
    assert not list(tmp_path.glob("calibration*"))
