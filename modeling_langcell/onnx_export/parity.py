"""Whether ONNX files say what the torch model says, on random cells and texts of many shapes."""

from collections.abc import Iterator

import numpy as np
import torch

from langcell.loading.onnx_model import OnnxLangCell
from langcell.onnx_export.graphs import AxisSizes, ExportedGraph, random_encoder_inputs, torch_outputs

TOLERANCE = 1e-4
# Shapes that break graphs which were traced rather than exported: single rows, single tokens, more labels than cells.
_EDGES = (
    AxisSizes(cells=1, genes=1, labels=1, tokens=1, chosen=1),
    AxisSizes(cells=1, genes=20, labels=5, tokens=12, chosen=5),
    AxisSizes(cells=6, genes=1, labels=2, tokens=3, chosen=1),
    AxisSizes(cells=2, genes=11, labels=1, tokens=20, chosen=3),
)
_N_RANDOM = 4
_MOST_GENES, _MOST_TOKENS = 512, 128


def check_parity(exported: OnnxLangCell, graphs: list[ExportedGraph], *, seed: int = 0) -> dict[str, float]:
    """Return the largest difference of every output from torch's.

    Raises:
        ValueError: a shape is not read, or a difference is above 1e-4.
    """
    largest = _differences(exported, graphs, seed)
    wrong = {name: value for name, value in largest.items() if not value <= TOLERANCE}  # NaN is wrong too
    if wrong:
        listed = ", ".join(f"{name} by {value:.2g}" for name, value in wrong.items())
        raise ValueError(f"The ONNX files differ from torch ({listed}; at most {TOLERANCE:g} is allowed); not kept.")
    return largest


def _differences(exported: OnnxLangCell, graphs: list[ExportedGraph], seed: int) -> dict[str, float]:
    """Largest difference by output; the match is fed with what the exported encoders gave, as in use."""
    generator = torch.Generator().manual_seed(seed + 1)
    largest: dict[str, float] = {}
    for shape in _shapes(exported, seed):
        inputs = random_encoder_inputs(exported.config, shape, generator)
        expected = torch_outputs(graphs, inputs)
        try:
            found = _run(exported, {name: tensor.numpy() for name, tensor in inputs.items()})
        except Exception as error:  # onnxruntime raises a type for each of its status codes
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"The ONNX files cannot read {shape}: {reason}") from error
        for name, value in found.items():
            difference = float(np.abs(value - expected[name].numpy()).max())
            largest[name] = max(largest.get(name, 0.0), difference) if np.isfinite(difference) else np.nan
    return largest


def _run(exported: OnnxLangCell, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    mask = inputs["cell_attention_mask"]
    cell_embeds, cell_states = exported.encode_cells(inputs["cell_input_ids"], mask)
    texts = exported.encode_texts(inputs["input_ids"], inputs["attention_mask"])
    return {
        "cell_embeds": cell_embeds,
        "cell_states": cell_states,
        "text_embeds": texts.embeds,
        "text_states": texts.states,
        "match_probability": exported.match(texts, cell_states, mask, inputs["label_index"]),
    }


def _shapes(exported: OnnxLangCell, seed: int) -> Iterator[AxisSizes]:
    """Yield the edges, the longest that is sensible, and random ones between."""
    genes = min(_MOST_GENES, exported.config.cell_config.max_position_embeddings)
    tokens = min(_MOST_TOKENS, exported.config.text_config.max_position_embeddings)
    shapes = [*_EDGES, AxisSizes(2, genes, 3, tokens, 3)]
    rng = np.random.default_rng(seed)
    for _ in range(_N_RANDOM):
        sizes = [int(rng.integers(1, most + 1)) for most in (9, genes, 8, tokens, 8)]
        shapes.append(AxisSizes(*sizes))
    for shape in shapes:
        yield AxisSizes(shape.cells, min(shape.genes, genes), shape.labels, min(shape.tokens, tokens), shape.chosen)
