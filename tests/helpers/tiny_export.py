"""Tiny models with their ONNX exports, each made once for all test processes: torch's exporter takes ten seconds."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from filelock import FileLock
from tiny import tiny_batch, tiny_config, tiny_model, tiny_processor
from typer.testing import CliRunner

from langcell.cli.commands import app
from langcell.modeling_langcell import LangCellForPreTraining


class Kind(NamedTuple):
    """How a model reads.

    Attributes:
        start: the layer, of three, where the text encoder begins to read cells.
        pooling: how both encoders pool.
    """

    start: int
    pooling: str


# The text encoder begins to read cells in a layer before the last, and in the last.
BEFORE_THE_LAST = Kind(1, "mean")
IN_THE_LAST = Kind(2, "cls")


@dataclass(frozen=True)
class Exported:
    """A model and its export; read only.

    Attributes:
        model: the Hub folder.
        onnx: the folder that `langcell export onnx` made of it.
        output: what the command said.
    """

    model: Path
    onnx: Path
    output: str


def exported_once(kind: Kind, factory: pytest.TempPathFactory) -> Exported:
    """Return a model of a kind with its export, from the test process that was first to ask for it."""
    common = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    folder = common / f"export-{kind.start}-{kind.pooling}"
    model, onnx, said = folder / "langcell-tiny", folder / "tiny-onnx", folder / "output.txt"
    with FileLock(f"{folder}.lock"):
        if not said.exists():
            varied_model(kind).save_pretrained(model)
            tiny_processor(reference=True).save_pretrained(model)
            result = CliRunner().invoke(app, ["export", "onnx", str(model), "-o", str(onnx)])
            assert result.exit_code == 0, result.output
            said.write_text(result.output)
    return Exported(model, onnx, said.read_text())


def varied_model(kind: Kind) -> LangCellForPreTraining:
    """Return a tiny model whose cell embeddings point everywhere: as it is, all cells get the same label."""
    sizes = {
        "cell": {"pooling": kind.pooling, "num_hidden_layers": 1},
        "text": {
            "pooling": kind.pooling,
            "cross_attention_start": kind.start,
        },
    }
    model = tiny_model(tiny_config(**sizes), seed=kind.start)
    batch = tiny_batch(20)
    with torch.no_grad():
        states = model.get_cell_states(batch["cell_input_ids"], batch["cell_attention_mask"])
        pooled = model.pool_cells(states, batch["cell_attention_mask"])
        model.cell_projection.bias.sub_(model.cell_projection(pooled).mean(0))
    return model
