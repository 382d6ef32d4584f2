"""Bad input through the command line: one line on stderr, exit code 2, nothing written and nothing lost."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tiny import tiny_counts, tiny_gene_names
from typer.testing import CliRunner
from warm_python import warm_python

from langcell.cli.commands import app
from langcell.processing.genes import VOCABULARY_FILE

LABELS = "B cell,natural killer cell"


def tiny_cells(n_cells: int = 6) -> AnnData:
    return AnnData(tiny_counts(n_cells), var=pd.DataFrame(index=tiny_gene_names()))


def write_cells(path: Path, change: Callable[[AnnData], object] | None = None) -> None:
    cells = tiny_cells()
    if change is not None:
        change(cells)
    cells.write_h5ad(path)


@pytest.fixture
def place(tiny_model_dir, tmp_path):
    """A folder with good cells, a good model and an output of an earlier run."""
    write_cells(tmp_path / "cells.h5ad")
    shutil.copytree(tiny_model_dir, tmp_path / "model")
    (tmp_path / "out.h5ad").write_bytes(b"an earlier result")
    return tmp_path


def arguments(place: Path, **changes: str | None) -> list[str]:
    """A correct command, but for the changes; None removes an option."""
    options = {"-o": "out.h5ad", "--labels": LABELS, "--model": "model", "--device": "cpu"}
    options = {**options, **{f"--{name.replace('_', '-')}": value for name, value in changes.items() if name != "o"}}
    if "o" in changes:
        options["-o"] = changes["o"]
    paths = {"-o", "--model", "--labels-file"}
    given = [(name, value) for name, value in options.items() if value is not None]
    return [word for name, value in given for word in (name, str(place / value) if name in paths else value)]


def files_below(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def assert_one_line(stderr: str, message: str) -> None:
    lines = [line for line in stderr.splitlines() if line.startswith("langcell: ")]
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    assert message in lines[0]


def assert_refused(place: Path, command: list[str], message: str) -> None:
    before = files_below(place)
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert_one_line(result.stderr, message)
    assert "Wrote" not in result.stdout
    assert files_below(place) == before


def set_value(value: float) -> Callable[[AnnData], None]:
    def change(cells: AnnData) -> None:
        cells.X.data[3] = value

    return change


def rename_genes(name: str) -> Callable[[AnnData], None]:
    def change(cells: AnnData) -> None:
        cells.var_names = [name.format(i) for i in range(cells.n_vars)]

    return change


def normalise(cells: AnnData) -> None:
    cells.X = np.log1p(cells.X * 1.7)


@pytest.mark.parametrize("command", ["annotate", "embed"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(normalise, "not integers: log-normalised?", id="normalised"),
        pytest.param(rename_genes("probe{}"), "None of the 42 genes", id="no_gene_known"),
        pytest.param(rename_genes("ENSMUSG{:011d}"), "are those of mice", id="mouse_ids"),
        pytest.param(rename_genes("Xkr{}"), "are those of mice", id="mouse_symbols"),
        pytest.param(set_value(np.nan), "NaN", id="nan"),
        pytest.param(set_value(np.inf), "NaN or infinite", id="infinite"),
        pytest.param(set_value(-3), "negative", id="negative"),
    ],
)
def test_cells_that_cannot_be_read(place, command, change, message):
    write_cells(place / "cells.h5ad", change)
    labels = {"labels": None} if command == "embed" else {}
    assert_refused(place, [command, str(place / "cells.h5ad"), *arguments(place, **labels)], message)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_from_h5ad(key: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file[key]

    return change


def drop_attribute(key: str, name: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file[key].attrs[name]

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(Path.unlink, "no such file", id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), "not an h5ad file", id="of_no_bytes"),
        pytest.param(lambda path: path.write_text("gene,cell\n1,2\n"), "not an h5ad file", id="csv"),
        pytest.param(cut_in_half, "cells.h5ad", id="cut_in_half"),
        pytest.param(lambda path: AnnData(np.zeros((0, 3))).write_h5ad(path), "empty: 0 cells", id="no_cells"),
        pytest.param(lambda path: AnnData(np.zeros((3, 0))).write_h5ad(path), "x 0 genes", id="no_genes"),
        pytest.param(lambda path: (path.unlink(), path.mkdir()), "no zarr group", id="folder"),
        pytest.param(drop_from_h5ad("X"), "X does not exist", id="without_x"),
        pytest.param(drop_from_h5ad("X/indptr"), "a damaged one: it has no 'indptr'", id="x_without_pointers"),
        pytest.param(drop_from_h5ad("X/data"), "a damaged one: it has no 'data'", id="x_without_values"),
        pytest.param(drop_attribute("X", "shape"), "a damaged one: it has no 'shape'", id="x_without_shape"),
        pytest.param(drop_attribute("X", "encoding-type"), "it is no sparse matrix", id="x_of_no_type"),
        pytest.param(drop_attribute("obs", "_index"), "'obs' is no table", id="obs_that_names_no_index"),
        pytest.param(drop_from_h5ad("obs/_index"), "'obs' is no table", id="obs_without_index"),
        pytest.param(drop_from_h5ad("var"), "no 'var'", id="without_var"),
    ],
)
def test_files_that_cannot_be_read(place, damage, message):
    damage(place / "cells.h5ad")
    assert_refused(place, ["annotate", str(place / "cells.h5ad"), *arguments(place)], message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"labels": "B cell"}, "one label ('B cell')", id="one_label"),
        pytest.param({"labels": "B cell,b cell"}, "Duplicate labels", id="duplicate_labels"),
        pytest.param({"labels": "B cell,CL:0000236"}, "Duplicate labels", id="name_and_its_id"),
        pytest.param({"labels": "B cell,,T cell"}, "label 2 is empty", id="empty_label"),
        pytest.param({"labels": ""}, "label 1 is empty", id="no_label"),
        pytest.param({"labels": "CL:9999999,B cell"}, "CL:9999999", id="unknown_id"),
        pytest.param({"labels": "unassigned,B cell"}, "'unassigned' cannot be a label", id="reserved_word"),
        pytest.param({"labels": None}, "There are no labels; give them by", id="no_labels_at_all"),
        pytest.param({"labels_file": "labels.txt"}, "exactly one of --labels", id="labels_twice"),
        pytest.param({"ontology_root": "CL:0000842"}, "exactly one of --labels", id="labels_and_root"),
        pytest.param(
            {"labels": None, "labels_file": "labels.txt", "ontology_root": "CL:0000842"},
            "exactly one",
            id="file_and_root",
        ),
        pytest.param({"labels": None, "labels_file": "nowhere.txt"}, "nowhere.txt", id="no_labels_file"),
        pytest.param({"labels": None, "labels_file": "model"}, "Cannot read labels", id="labels_file_is_a_folder"),
        pytest.param({"labels": None, "labels_file": "out.h5ad"}, "unknown suffix", id="labels_file_of_a_kind"),
        pytest.param({"labels": None, "ontology_root": "CL:0000842"}, "training types", id="root_without_types"),
        pytest.param({"device": "abacus"}, "Device 'abacus' cannot be used", id="device"),
        pytest.param({"device": "meta"}, "Device 'meta' cannot be used", id="device_without_memory"),
        pytest.param({"dtype": "float8"}, "dtype is 'float8'; legal are", id="dtype"),
        pytest.param({"alpha": "1.5"}, "alpha is 1.5; legal are 0", id="alpha_above"),
        pytest.param({"alpha": "-0.1"}, "alpha is -0.1", id="alpha_below"),
        pytest.param({"alpha": "nan"}, "alpha is nan", id="alpha_nan"),
        pytest.param({"max_batch_tokens": "0"}, "max_batch_tokens is 0", id="max_batch_tokens"),
        pytest.param({"gene_column": "symbols"}, "unknown gene column 'symbols'", id="gene_column"),
        pytest.param({"layer": "umi"}, "unknown layer 'umi'", id="layer"),
        pytest.param({"o": "nowhere/out.h5ad"}, "nowhere does not exist; create it first", id="output_folder"),
        pytest.param({"o": "out.csv"}, "has to end in .h5ad or .zarr", id="output_suffix"),
        pytest.param({"o": "model"}, "has to end in .h5ad or .zarr", id="output_is_a_folder"),
        pytest.param({"model": "nowhere"}, "is no model folder", id="no_model"),
    ],
)
def test_options(place, changes, message):
    (place / "labels.txt").write_text(LABELS.replace(",", "\n"))
    assert_refused(place, ["annotate", str(place / "cells.h5ad"), *arguments(place, **changes)], message)


def change_json(name: str, **fields: object) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        content = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps(content | fields))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        *(
            pytest.param(lambda model, name=name: (model / name).unlink(), f"{name} missing", id=f"without_{name}")
            for name in ("config.json", "model.safetensors", "processor_config.json", "tokenizer.json", VOCABULARY_FILE)
        ),
        *(
            pytest.param(lambda model, name=name: cut_in_half(model / name), "model", id=f"half_of_{name}")
            for name in ("config.json", "model.safetensors", "processor_config.json", "tokenizer.json", VOCABULARY_FILE)
        ),
        pytest.param(
            change_json("config.json", vocabulary_fingerprint="ab" * 32), "Gene vocabularies differ", id="fingerprint"
        ),
        pytest.param(change_json("config.json", projection_dim="wide"), "cannot be loaded", id="config_of_wrong_type"),
        pytest.param(change_json("config.json", model_type="bert"), "model", id="another_model"),
        pytest.param(change_json("config.json", alpha=7), "alpha is 7", id="alpha_of_the_model"),
    ],
)
@pytest.mark.filterwarnings("ignore:You are using a model of type")
def test_models_that_cannot_be_loaded(place, damage, message):
    damage(place / "model")
    assert_refused(place, ["annotate", str(place / "cells.h5ad"), *arguments(place)], message)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["annotate"], id="no_arguments"),
        pytest.param(["annotate", "cells.h5ad", "--labels", LABELS], id="no_output"),
        pytest.param(["annotate", "cells.h5ad", "-o", "x.h5ad", "--alpha", "much"], id="no_number"),
        pytest.param(["annotate", "cells.h5ad", "-o", "x.h5ad", "--x-is", "raw"], id="unknown_choice"),
        pytest.param(["annotate", "cells.h5ad", "-o", "x.h5ad", "--speed", "9"], id="unknown_option"),
        pytest.param(["dance"], id="unknown_command"),
    ],
)
def test_usage(words):
    assert CliRunner().invoke(app, words).exit_code == 2


def run_command(command: list[str], *, before: str = "") -> subprocess.CompletedProcess[str]:
    """The command as users run it, in a process of its own, after the statements `before`."""
    script = f"import sys\n{before}\nfrom langcell.cli.commands import main\nmain()"
    return subprocess.run([warm_python(), "-c", script, *command], capture_output=True, text=True, env=os.environ)


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX matter")
def test_full_disk(place):
    before = files_below(place)
    # A limit on the size of files ends a write as a full disk does, and needs no mount.
    limit = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))"
    )
    done = run_command(["annotate", str(place / "cells.h5ad"), *arguments(place)], before=limit)
    assert done.returncode == 2, done.stderr
    assert_one_line(done.stderr, f"no room to write {place / 'out.h5ad'}")
    after = files_below(place)
    assert {name: after[name] for name in before} == before
    # What was computed is not lost: with room, the same command goes on with it.
    assert f"What is done is kept in {place / 'out.h5ad.parts'}" in done.stderr
    assert all(name.startswith("out.h5ad.parts/") for name in after.keys() - before.keys())
    assert run_command(["annotate", str(place / "cells.h5ad"), *arguments(place)]).returncode == 0
    assert files_below(place).keys() == before.keys()


def test_a_process_of_its_own_has_the_same_exit_code(place):
    before = files_below(place)
    done = run_command(["annotate", str(place / "nowhere.h5ad"), *arguments(place)])
    assert done.returncode == 2, done.stderr
    assert_one_line(done.stderr, "nowhere.h5ad: no such file or folder")
    assert files_below(place) == before
