"""One export of the tiny model, and all that is done with it."""

import json
import shutil
import subprocess

import anndata
import numpy as np
import onnx
import pytest
import torch
from numpy.testing import assert_allclose
from tiny import TEXTS, tiny_batch, tiny_counts, tiny_gene_names, tiny_processor
from tiny_export import BEFORE_THE_LAST, exported_once
from typer.testing import CliRunner
from warm_python import warm_python

import langcell
from langcell.cli.commands import app
from langcell.inference.scoring.zero_shot import score_labels
from langcell.loading.load import load, load_config, weights_digest
from langcell.loading.onnx_model import onnx_file, require_onnx
from langcell.onnx_export.export import export_onnx
from langcell.onnx_export.graphs import graphs_of
from langcell.onnx_export.parity import TOLERANCE, check_parity

pytestmark = pytest.mark.slow  # torch's exporter takes its time, whatever the size

LABELS = ["natural killer cell", "B cell", "my odd cells", "monocyte"]
READING = {"progress": False, "rows_per_chunk": 5, "max_batch_tokens": 100}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A model with its export, and what the command said."""
    return exported_once(BEFORE_THE_LAST, tmp_path_factory)


@pytest.fixture(scope="module")
def varied_dir(once):
    """The model, whose cells do not all get the same label; read only."""
    return once.model


@pytest.fixture(scope="module")
def exported(once):
    """Folder that the command wrote; read only."""
    assert "Largest difference from torch: cell_embeds" in once.output
    return once.onnx


@pytest.fixture(scope="module")
def runner(exported):
    return langcell.OnnxLangCell(exported, threads=1)


def tiny_cells() -> anndata.AnnData:
    counts = tiny_counts(23).tolil()
    counts[7] = 0
    counts[7, -2] = 9  # of an unknown gene
    cells = anndata.AnnData(counts.tocsr())
    cells.var_names = tiny_gene_names()
    cells.obs_names = [f"cell{i}" for i in range(cells.n_obs)]
    return cells


def test_an_opened_export_scores_labels(runner, varied_dir):
    loaded = langcell.load(varied_dir, device="cpu")
    batch = dict(loaded.processor(cells=tiny_cells()[:5].copy(), text=list(TEXTS), return_tensors="pt"))
    expected = langcell.score_labels(loaded, **batch, alpha=0.3)
    assert_allclose(langcell.score_labels(runner, **batch, alpha=0.3).score, expected.score, rtol=0, atol=1e-5)


# The folder


def test_the_folder_stands_alone_and_says_what_it_is(exported, varied_dir):
    facts = json.loads((exported / "onnx_export.json").read_text())
    assert facts["model_id"] == "langcell-tiny"
    assert facts["model_revision"] == weights_digest(varied_dir)
    assert facts["opset"] == 20
    assert max(facts["largest_difference"].values()) <= TOLERANCE
    assert set(facts["sha256"]) == set(facts["files"]) == {path.name for path in exported.glob("*.onnx")}
    assert len(facts["files"]) == 3
    # transformers alone reads the configuration and the processor, by the code beside them.
    code = (
        "from transformers import AutoConfig, AutoProcessor; import sys; f = sys.argv[1]; "
        "AutoConfig.from_pretrained(f, trust_remote_code=True); "
        "p = AutoProcessor.from_pretrained(f, trust_remote_code=True); "
        "print(type(p).__name__, 'langcell' in sys.modules)"
    )
    command = [warm_python(), "-P", "-c", code, str(exported)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["LangCellProcessor", "False"]


def test_no_file_names_a_path_of_the_machine_that_wrote_it(exported, varied_dir):
    for path in exported.iterdir():
        content = path.read_bytes()
        assert b"site-packages" not in content, path.name
        assert b"onnx_graphs.py" not in content, path.name
        assert str(varied_dir.parent).encode() not in content, path.name


def test_the_axes_are_open_and_named(exported):
    axes = {}
    for name in ("cell_encoder", "text_encoder", "match"):
        program = onnx.load(exported / onnx_file(name))
        onnx.checker.check_model(program, full_check=True)
        for value in program.graph.input:
            axes[name, value.name] = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
    assert axes["cell_encoder", "cell_input_ids"] == ["cells", "genes"]
    assert axes["text_encoder", "input_ids"] == ["labels", "tokens"]
    assert all(isinstance(axis, str) for axis in axes["match", "label_index"])
    assert [type(axis) for axis in axes["match", "text_states"]] == [str, str, int]


def test_an_export_can_be_replaced_and_another_folder_not(exported, varied_dir, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists and is no ONNX export"):
        export_onnx(varied_dir, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


# Parity


@pytest.mark.parametrize("seed", [pytest.param(seed, id=f"draw {seed}") for seed in (3, 4)])
def test_other_random_shapes_are_within_the_tolerance_too(runner, varied_dir, seed):
    graphs = graphs_of(load(varied_dir, device="cpu").model)
    differences = check_parity(runner, graphs, seed=seed)
    assert set(differences) == {"cell_embeds", "cell_states", "text_embeds", "text_states", "match_probability"}


def test_files_of_other_weights_are_refused(runner, varied_dir):
    other = load(varied_dir, device="cpu").model
    with torch.no_grad():
        other.match_head.bias[1] += 0.01
    with pytest.raises(ValueError, match=r"differ from torch \(match_probability by .*not kept"):
        check_parity(runner, graphs_of(other))


def test_another_dtype_than_an_opened_export_has_is_refused(runner):
    with pytest.raises(
        ValueError, match="dtype is 'bfloat16', but the ONNX export is opened in float32; give its folder"
    ):
        langcell.annotate(tiny_cells(), LABELS, model=runner, dtype="bfloat16", **READING)


# The runner


@pytest.mark.parametrize(
    ("n_cells", "texts"),
    [
        pytest.param(1, TEXTS[:1], id="one cell and one label"),
        pytest.param(1, TEXTS, id="one cell"),
        pytest.param(9, TEXTS, id="more cells than labels"),
    ],
)
def test_scores_are_those_of_torch(runner, varied_dir, n_cells, texts):
    cells, names = tiny_counts(n_cells), tiny_gene_names()
    found = runner.score(cells, texts, gene_names=names)
    batch = tiny_processor()(cells=cells, text=list(texts), gene_names=names, return_tensors="pt")
    expected = score_labels(load(varied_dir, device="cpu").model, **batch)
    for name in ("similarity", "match", "score", "cell_embeds"):
        assert_allclose(getattr(found, name), getattr(expected, name).numpy(), atol=TOLERANCE, err_msg=name)
        assert getattr(found, name).dtype == np.float32


def test_blocks_of_cells_change_no_match(runner, monkeypatch):
    batch = {name: tensor.numpy() for name, tensor in tiny_batch(7).items()}
    texts = runner.encode_texts(batch["input_ids"], batch["attention_mask"])
    _, states = runner.encode_cells(batch["cell_input_ids"], batch["cell_attention_mask"])
    chosen = np.tile(np.array([2, 0]), (7, 1))
    whole = runner.match(texts, states, batch["cell_attention_mask"], chosen)
    monkeypatch.setattr("langcell.loading.onnx_model._TOKENS_PER_MATCH", 2 * chosen.shape[1] * texts.states.shape[1])
    assert_allclose(runner.match(texts, states, batch["cell_attention_mask"], chosen), whole, atol=1e-6)


def test_alpha_outside_its_range_is_refused(runner):
    with pytest.raises(ValueError, match="alpha is 2"):
        runner.score(tiny_counts(2), TEXTS, gene_names=tiny_gene_names(), alpha=2)


@pytest.mark.parametrize("rerank", ["exact", "full", "top-k", "none"])
def test_annotate_says_what_it_says_with_torch(exported, varied_dir, rerank):
    options = {"rerank": rerank, "k": 2, **READING}
    found = langcell.annotate(tiny_cells(), LABELS, model=exported, **options)
    expected = langcell.annotate(tiny_cells(), LABELS, model=varied_dir, dtype="float32", device="cpu", **options)
    assert found.obs["langcell_label"].tolist() == expected.obs["langcell_label"].tolist()
    assert found.obs["langcell_label"].iloc[7] == "unassigned"
    assert found.obs["langcell_label"].nunique() > 2
    for name in ("langcell_scores", "X_langcell"):
        assert_allclose(found.obsm[name], expected.obsm[name], atol=TOLERANCE, err_msg=name)
    settings = expected.uns["langcell"]
    assert found.uns["langcell"] == settings


def test_files_are_named_and_embedded_by_the_command(exported, varied_dir, tmp_path):
    tiny_cells().write_h5ad(tmp_path / "cells.h5ad")
    arguments = [str(tmp_path / "cells.h5ad"), "--model", str(exported), "--dtype", "float32"]
    named, embedded = tmp_path / "named.h5ad", tmp_path / "embedded.h5ad"
    result = CliRunner().invoke(app, ["annotate", *arguments, "-o", str(named), "--labels", "B cell,monocyte"])
    assert result.exit_code == 0, result.output
    settings = anndata.read_h5ad(named).uns["langcell"]
    assert (settings["dtype"], settings["model_revision"]) == ("float32", weights_digest(varied_dir))
    result = CliRunner().invoke(app, ["embed", *arguments, "-o", str(embedded)])
    assert result.exit_code == 0, result.output
    assert_allclose(np.linalg.norm(anndata.read_h5ad(embedded).obsm["X_langcell"], axis=1), 1, atol=1e-5)


# What can go wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"dtype": "bfloat16"}, "an ONNX export has float32", id="dtype"),
        pytest.param({"dtype": "int8"}, "legal are float32", id="int8"),
        pytest.param({"device": "cuda"}, "run on the cpu", id="device"),
        pytest.param({"adapter": "my-adapter"}, "takes no adapter", id="adapter"),
    ],
)
def test_what_an_export_has_not_is_refused(exported, options, message):
    with pytest.raises(ValueError, match=message):
        langcell.annotate(tiny_cells(), LABELS, model=exported, **options, **READING)


def test_hidden_states_are_refused(exported):
    with pytest.raises(ValueError, match="no hidden state"):
        langcell.embed(tiny_cells(), model=exported, hidden=True, **READING)


def test_int8_is_refused_with_its_reason(varied_dir, tmp_path):
    command = ["export", "onnx", str(varied_dir), "-o", str(tmp_path / "export"), "--int8"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "a cell's answer depended on the cells beside it" in result.output
    assert not (tmp_path / "export").exists()


def test_a_damaged_file_is_named_in_one_line(exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "export")
    content = (folder / "match.onnx").read_bytes()
    (folder / "match.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cannot be loaded"):
        langcell.OnnxLangCell(folder)


def test_another_folder_is_no_export(varied_dir):
    with pytest.raises(ValueError, match="is no ONNX export; make one with langcell export onnx"):
        langcell.OnnxLangCell(varied_dir)


def test_what_needs_torch_says_so(exported):
    with pytest.raises(ValueError, match="is an ONNX export, which annotate, embed and OnnxLangCell run"):
        load(exported)
    assert load_config(exported).projection_dim == 8


def test_a_missing_library_names_the_extra():
    with pytest.raises(ValueError, match=r'ONNX needs no_such_library: pip install "langcell\[onnx\]"'):
        require_onnx("no_such_library")


def test_an_unknown_opset_is_one_line_and_exit_code_2(varied_dir, tmp_path):
    command = ["export", "onnx", str(varied_dir), "-o", str(tmp_path / "x"), "--opset", "9"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "opset is 9; legal are 18 to 21" in result.output
    assert not (tmp_path / "x").exists()
