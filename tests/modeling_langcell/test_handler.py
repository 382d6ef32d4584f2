"""The handler of Inference Endpoints, as the Hub starts it: from the file in a model's folder."""

import base64
import importlib.util
import json

import h5py
import pytest
import tiny
from anndata import AnnData

LABELS = {"candidate_labels": ["b cell", "monocyte"], "top_k": 1}


def started(folder):
    """The handler of a folder, as the Hub starts it."""
    specification = importlib.util.spec_from_file_location("handler", folder / "handler.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.EndpointHandler(str(folder), device="cpu")


@pytest.fixture(scope="module")
def handler(tiny_model_dir):
    return started(tiny_model_dir)


@pytest.fixture(scope="module")
def cells():
    cells = AnnData(tiny.tiny_counts(4))
    cells.var_names = tiny.tiny_gene_names()
    return cells


def as_text(cells, folder):
    cells.write_h5ad(folder / "cells.h5ad")
    return base64.b64encode((folder / "cells.h5ad").read_bytes()).decode()


def ask(handler, **request):
    """Ask as over the wire: all that goes in and out is JSON."""
    return json.loads(json.dumps(handler(json.loads(json.dumps(request)))))


def test_a_file_is_named_as_by_the_pipeline(handler, cells, tmp_path):
    found = ask(handler, inputs=as_text(cells, tmp_path), parameters=LABELS)
    assert [one["cell"] for one in found] == list(cells.obs_names)
    expected = handler._pipeline(cells, **LABELS)
    assert [one["labels"] for one in found] == [one["labels"] for one in expected]


def test_lists_of_token_ids_are_named_or_embedded(handler):
    ids = [[2, 5, 9], [2, 7]]
    assert len(ask(handler, inputs=ids, parameters=LABELS)) == 2
    embedded = ask(handler, inputs=ids, parameters={"return_embeddings": True})
    assert len(embedded[0]) == handler._pipeline.model.config.projection_dim


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        pytest.param({"inputs": "not base64!"}, "no base64 text", id="text"),
        pytest.param({"inputs": base64.b64encode(b"something else").decode()}, "no HDF5 file", id="other file"),
        pytest.param({"inputs": []}, "neither base64 text", id="nothing"),
        pytest.param({}, "neither base64 text", id="no inputs"),
        pytest.param({"inputs": [[2]] * 20_001}, "20,001 cells; send at most 20,000", id="too many cells"),
        pytest.param({"inputs": [[2, 5]], "parameters": {"candidate_labels": ["a"]}}, "two names", id="one label"),
        pytest.param(
            {"inputs": [[2, 5]], "parameters": {"candidate_labels": [str(i) for i in range(1001)]}},
            "1,001 labels; send at most 1,000",
            id="too many labels",
        ),
        pytest.param({"inputs": [[2, 5]], "parameters": {"labels": ["a", "b"]}}, "Unknown parameter", id="misspelt"),
        pytest.param({"inputs": [[2, 5]], "parameters": ["a"]}, "parameters is no object", id="list"),
        pytest.param({"inputs": [[2, 5_000]], "parameters": LABELS}, "Token ids go from 0 to 42", id="unknown gene"),
        pytest.param({"inputs": "é"}, "no base64 text", id="other letters"),
        pytest.param(
            {"inputs": base64.b64encode(b"\x89HDF\r\n\x1a\n half a file").decode(), "parameters": LABELS},
            "holds no AnnData that can be read",
            id="half a file",
        ),
        pytest.param(
            {"inputs": [[2]], "parameters": {**LABELS, "top_k": "x"}}, "top_k is 'x'; give a whole number", id="top_k"
        ),
        pytest.param({"inputs": [[2]], "parameters": {**LABELS, "top_k": True}}, "top_k is True", id="truth value"),
        pytest.param({"inputs": [[2]], "parameters": {**LABELS, "hypothesis_template": 5}}, "give text", id="template"),
        pytest.param(
            {"inputs": [[2]], "parameters": {**LABELS, "alpha": "a"}}, "a whole number or a number", id="alpha"
        ),
        pytest.param({"inputs": [[2]], "parameters": {**LABELS, "batch_size": 0}}, "give at least 1", id="no batch"),
    ],
)
def test_what_cannot_be_answered_is_one_line(handler, request_of, message):
    answer = ask(handler, **request_of)
    assert message in answer["error"]
    assert "\n" not in answer["error"]


def test_a_file_that_is_too_large_is_refused(handler, cells, tmp_path, monkeypatch):
    monkeypatch.setitem(type(handler)._name_file.__globals__, "MOST_CELLS", 3)
    assert "4 cells; send at most 3" in ask(handler, inputs=as_text(cells, tmp_path), parameters=LABELS)["error"]
    monkeypatch.setitem(type(handler)._name_file.__globals__, "MOST_BYTES", 10)
    assert "send fewer cells" in ask(handler, inputs=as_text(cells, tmp_path), parameters=LABELS)["error"]


@pytest.mark.parametrize("request_of", [None, [], "cells"])
def test_a_request_that_is_no_object_is_one_line(handler, request_of):
    assert "send an object with inputs and parameters" in handler(request_of)["error"]


def test_an_hdf5_file_without_cells_is_one_line_without_a_path_of_the_server(handler, tmp_path):
    h5py.File(tmp_path / "other.h5", "w").close()
    text = base64.b64encode((tmp_path / "other.h5").read_bytes()).decode()
    error = ask(handler, inputs=text, parameters=LABELS)["error"]
    assert "holds no AnnData that can be read" in error
    assert "langcell-endpoint" not in error


def test_a_folder_that_lacks_a_weight_starts_nothing(tiny_model_dir, tmp_path):
    half = tiny.without_weight(tiny_model_dir, tmp_path / "half", "match_head.bias")
    with pytest.raises(
        ValueError, match=r"half lacks 1 weights, such as match_head.bias; upload or convert it again.$"
    ):
        started(half)
