"""Inference Endpoints of the Hub: cells in a request, labels in the answer.

A request is JSON: `{"inputs": ..., "parameters": {"candidate_labels": ["B cell", "monocyte"], "top_k": 1}}`. Its
`inputs` are an h5ad file as base64 text, or a list of cells, each a list of token ids. The parameters are those of
`LangCellPipeline`. The answer is the pipeline's, or `{"error": one line}` for a request that cannot be answered.

The Hub starts `EndpointHandler` of the file of this name in a model's folder. Nothing else imports it.
"""

import base64
import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

from transformers import AutoModel, AutoProcessor
from transformers.dynamic_module_utils import get_class_from_dynamic_module

MOST_BYTES = 100 * 2**20
MOST_CELLS = 20_000
MOST_LABELS = 1_000
# Names of files would be read on the server, and are none of the caller's business.
_PARAMETERS: dict[str, tuple[type, ...]] = {
    "candidate_labels": (list, dict, str),
    "hypothesis_template": (str,),
    "alpha": (int, float),
    "reference": (bool,),
    "rerank": (str,),
    "top_k": (int,),
    "return_embeddings": (bool,),
    "batch_size": (int,),
    "x_is": (str,),
    "layer": (str,),
    "gene_column": (str,),
}


_KINDS = {
    list: "a list",
    dict: "an object",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


class EndpointHandler:
    """Names or embeds the cells of a request.

    Args:
        path: folder of the model.
        device: "cpu", "cuda", ...; the first GPU where there is one when None.

    Raises:
        ValueError: the folder lacks weights of the model.
    """

    def __init__(self, path: str = "", device: Any = None) -> None:
        folder = path or str(Path(__file__).parent)
        make: Any = get_class_from_dynamic_module("pipeline_langcell.LangCellPipeline", folder)
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
        self._pipeline = make(_whole_model(folder), processor, task="zero-shot-cell-annotation", device=device)

    def __call__(self, data: dict[str, Any]) -> Any:
        """Answer one request.

        Args:
            data: the JSON of the request: `inputs` and `parameters`.

        Returns:
            What `LangCellPipeline` returns, or `{"error": one line}` for a request that cannot be answered.
        """
        try:
            if not isinstance(data, dict):
                raise ValueError(f"The request is {type(data).__name__}; send an object with inputs and parameters.")
            parameters = _checked(data.get("parameters") or {})
            return self._answer(data.get("inputs"), parameters)
        except (ValueError, TypeError, OSError) as error:
            return {"error": " ".join(str(error).split())}

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        if isinstance(inputs, str):
            return self._name_file(_decoded(inputs), parameters)
        if not isinstance(inputs, list) or not inputs:
            raise ValueError("inputs is neither base64 text of an h5ad file nor a list of cells as lists of token ids.")
        if len(inputs) > MOST_CELLS:
            raise ValueError(f"The request has {len(inputs):,} cells; send at most {MOST_CELLS:,} at a time.")
        return self._pipeline(inputs, **parameters)

    def _name_file(self, content: bytes, parameters: dict[str, Any]) -> Any:
        # Not kept: a request's cells are gone with its answer.
        with tempfile.TemporaryDirectory(prefix="langcell-endpoint-") as folder:
            path = os.path.join(folder, "cells.h5ad")
            Path(path).write_bytes(content)
            if (n_cells := _cells_in(path)) > MOST_CELLS:
                raise ValueError(f"The file has {n_cells:,} cells; send at most {MOST_CELLS:,} at a time.")
            return self._pipeline(path, **parameters)


def _whole_model(folder: str) -> Any:
    """Return the model of a folder.

    Raises:
        ValueError: weights are missing; transformers would go on with random numbers in their place.
    """
    model, report = AutoModel.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"{folder} lacks {len(missing)} weights, such as {missing[0]}; upload or convert it again.")
    return model


def _checked(parameters: Any) -> dict[str, Any]:
    """Return the parameters, if they are legal.

    Raises:
        ValueError: one is unknown, or there are too many labels.
    """
    if not isinstance(parameters, dict):
        raise ValueError("parameters is no object; give names and values, such as candidate_labels.")
    if unknown := [name for name in parameters if name not in _PARAMETERS]:
        raise ValueError(f"Unknown parameter {unknown[0]!r}; legal are {', '.join(_PARAMETERS)}.")
    for name, value in parameters.items():
        kinds = _PARAMETERS[name]
        # A truth value is a whole number to Python.
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            legal = " or ".join(_KINDS[kind] for kind in kinds)
            raise ValueError(f"{name} is {value!r}; give {legal}.")
    if (size := parameters.get("batch_size")) is not None and size < 1:
        raise ValueError(f"batch_size is {size}; give at least 1.")
    labels = parameters.get("candidate_labels")
    if isinstance(labels, list | dict) and len(labels) > MOST_LABELS:
        raise ValueError(f"The request has {len(labels):,} labels; send at most {MOST_LABELS:,}.")
    return parameters


def _decoded(text: str) -> bytes:
    """Return the bytes of a file that came as base64 text.

    Raises:
        ValueError: it is too large, no base64, or no HDF5 file.
    """
    if len(text) * 3 // 4 > MOST_BYTES:
        raise ValueError(f"The file has more than {MOST_BYTES // 2**20} MiB; send fewer cells at a time.")
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:  # binascii.Error, or other characters than ASCII
        raise ValueError(f"inputs is no base64 text ({error}); encode the bytes of an h5ad file.") from error
    if not content.startswith(b"\x89HDF\r\n\x1a\n"):
        raise ValueError("inputs is base64 text, but of no HDF5 file; encode the bytes of an h5ad file.")
    return content


def _cells_in(path: str) -> int:
    # Not at the top of the file, where transformers would ask it of everyone who loads the model.
    try:
        adata = importlib.import_module("anndata").read_h5ad(path, backed="r")
    except Exception as error:  # anndata and h5py name many kinds; the path on the server is nobody's business
        said = " ".join(str(error).replace(path, "the file").split())
        raise ValueError(f"The HDF5 file holds no AnnData that can be read ({said}); send an h5ad file.") from error
    try:
        return adata.n_obs
    finally:
        adata.file.close()
