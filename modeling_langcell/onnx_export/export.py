"""`langcell export onnx`: a model as ONNX files that stand alone, checked against torch before they appear.

The files are made by torch.export (`torch.onnx.export(dynamo=True)`), which keeps every axis that is named in
`onnx_graphs` open, batches of one included. The older exporter traces one example and bakes its shape into views.
"""

import hashlib
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim

from langcell.loading.load import LoadedLangCell, load
from langcell.loading.onnx_model import EXPORT_FACTS, OnnxLangCell, onnx_file, require_onnx
from langcell.onnx_export.graphs import AxisSizes, ExportedGraph, graphs_of, random_encoder_inputs, torch_outputs
from langcell.onnx_export.parity import TOLERANCE, check_parity
from langcell.processing.files.atomic_output import atomic_output

DEFAULT_OPSET = 20
# What torch's exporter writes, and what onnxruntime 1.20, the oldest that the extra allows, reads.
_OPSETS = range(18, 22)
# Protobuf files end at 2 GiB.
_MOST_BYTES = 2**31 - 2**20
_EXAMPLE = AxisSizes(cells=3, genes=7, labels=4, tokens=9, chosen=2)
# torch names optional libraries that are not there, and meets its own deprecated calls: nothing that a user can change.
_NOISY_LOGGERS = ("torch.onnx", "torch.onnx._internal.exporter._registration", "onnxscript")


@dataclass(frozen=True)
class OnnxExport:
    """What an export came to.

    Attributes:
        files: bytes of each ONNX file.
        opset: ONNX operator set of the files.
        largest_difference: largest difference of every output from torch's, over random shapes.
    """

    files: dict[str, int]
    opset: int
    largest_difference: dict[str, float]


def export_onnx(
    model: str | Path,
    output: str | Path,
    *,
    adapter: str | Path | None = None,
    opset: int = DEFAULT_OPSET,
    seed: int = 0,
) -> OnnxExport:
    """Write a model as ONNX: cell encoder, text encoder and match, with configuration and processor.

    Every output is compared with torch's, on random cells and texts of many shapes, before the folder appears. Use
    `langcell.OnnxLangCell`, `langcell.annotate(..., model=FOLDER)` or any other ONNX runtime on it.

    Args:
        model: folder, Hub id, or "langcell-mini".
        output: folder to write; an earlier export there is replaced.
        adapter: folder or Hub id of what `langcell finetune` made of the model; is merged into it.
        opset: ONNX operator set.
        seed: random seed of the random cells and texts.

    Raises:
        ValueError: onnx, onnxscript or onnxruntime is missing, the output is something else than an export, the opset
            is unknown, the model does not load or is too large for a file, or the files differ from torch by more
            than 1e-4; nothing is written then.
    """
    require_onnx()
    if opset not in _OPSETS:
        raise ValueError(f"opset is {opset}; legal are {_OPSETS[0]} to {_OPSETS[-1]}.")
    _check_output(Path(output))
    loaded = load(model, adapter=adapter, device="cpu", attn_implementation="sdpa")
    with atomic_output(output) as building:
        building.mkdir()
        _save_companions(loaded, building)
        graphs = graphs_of(loaded.model)
        _write_graphs(graphs, loaded, building, opset=opset, seed=seed)
        # The facts are needed to open the folder, and completed by what opening it shows.
        _write_facts(building, _facts(loaded, building, opset))
        differences = check_parity(OnnxLangCell(building), graphs, seed=seed)
        sizes = {path.name: path.stat().st_size for path in sorted(building.glob("*.onnx"))}
        export = OnnxExport(sizes, opset, differences)
        _write_facts(building, _facts(loaded, building, opset) | {"tolerance": TOLERANCE, **asdict(export)})
    return export


def _check_output(output: Path) -> None:
    """Refuse to replace a folder that is no export.

    Raises:
        ValueError: it is something else, and not empty.
    """
    if output.exists() and not (output.is_dir() and ((output / EXPORT_FACTS).is_file() or not any(output.iterdir()))):
        raise ValueError(f"{output} exists and is no ONNX export; give a new folder.")


def _save_companions(loaded: LoadedLangCell, folder: Path) -> None:
    """Configuration and processor, with the code that reads them where langcell is not installed."""
    processor = loaded.processor
    cells = processor.feature_extractor.reference_cells
    if cells is not None and cells.states and cells.known_by(loaded.model) is None:
        # Graphs have no fingerprint: whoever reads the folder could not tell that these states are of other weights.
        processor = deepcopy(processor)
        processor.feature_extractor.reference_cells = cells.without_states()
    processor.save_pretrained(folder)
    config = deepcopy(loaded.config)
    config.auto_map = {"AutoConfig": config.auto_map["AutoConfig"]}  # there are no weights for the other classes
    config.save_pretrained(folder)


def _write_graphs(graphs: list[ExportedGraph], loaded: LoadedLangCell, folder: Path, *, opset: int, seed: int) -> None:
    import onnx

    generator = torch.Generator().manual_seed(seed)
    example = torch_outputs(graphs, random_encoder_inputs(loaded.config, _EXAMPLE, generator))
    limits = {
        "genes": loaded.config.cell_config.max_position_embeddings,
        "tokens": loaded.config.text_config.max_position_embeddings,
    }
    for graph in graphs:
        size = sum(weight.numel() * weight.element_size() for weight in graph.module.parameters())
        if size > _MOST_BYTES:
            raise ValueError(f"The {graph.name} has {size:,} bytes of weights; an ONNX file holds {_MOST_BYTES:,}.")
        with _quiet():
            program = torch.onnx.export(
                graph.module,
                tuple(example[name] for name in graph.inputs),
                dynamo=True,
                opset_version=opset,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_shapes=tuple(_open_axes(axes, limits) for axes in graph.inputs.values()),
                verbose=False,
            )
        assert program is not None, "torch.onnx.export returns the program where it has no file to write"
        onnx.save(_without_traces(program.model_proto), folder / onnx_file(graph.name))


def _without_traces(program: Any) -> Any:
    """Return the ONNX model without what torch notes about its making: source lines, with the paths of this machine."""
    parts = [program.graph, *program.functions]
    for part in parts:
        for item in (part, *part.node, *part.value_info):
            del item.metadata_props[:]
    for item in (*program.graph.input, *program.graph.output, *program.graph.initializer):
        del item.metadata_props[:]
    return program


def _open_axes(axes: tuple[str | None, ...], limits: dict[str, int]) -> dict[int, Any]:
    """Return the open axes of an input: place -> torch's symbol of that name."""
    return {place: Dim(name, max=limits.get(name)) for place, name in enumerate(axes) if name is not None}


def _facts(loaded: LoadedLangCell, folder: Path, opset: int) -> dict[str, Any]:
    """Return what the folder says of itself."""
    return {
        "model_id": loaded.model_id,
        "model_revision": loaded.revision,
        "weights": loaded.weights,
        "vocabulary_fingerprint": loaded.processor.feature_extractor.vocabulary.fingerprint,
        "opset": opset,
        "versions": {name: version(name) for name in ("langcell", "torch", "onnx", "onnxscript", "onnxruntime")},
        "sha256": {path.name: _sha256(path) for path in sorted(folder.glob("*.onnx"))},
    }


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    (folder / EXPORT_FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch and onnxruntime say to their own developers."""
    loggers = [logging.getLogger(name) for name in (*_NOISY_LOGGERS, None)]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*axis name.*will not be used", category=UserWarning)
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
