"""What `langcell export onnx` turns into files: both encoders and the match, with their inputs, outputs and axes.

The graphs only call public methods of `LangCellModel`, so that they say what the model says, however it pools.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from langcell.configuration_langcell import LangCellConfig
from langcell.modeling_langcell import LangCellModel

CELL_ENCODER, TEXT_ENCODER, MATCH = "cell_encoder", "text_encoder", "match"


class CellGraph(nn.Module):
    """Ranked genes -> cell embeddings, and the states that the match reads."""

    def __init__(self, model: LangCellModel):
        super().__init__()
        self.model = model

    def forward(self, cell_input_ids: Tensor, cell_attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Map (cells, genes) -> (cells, projection_dim) of unit length, (cells, genes, cell hidden)."""
        output = self.model(cell_input_ids=cell_input_ids, cell_attention_mask=cell_attention_mask, return_dict=True)
        return output.cell_embeds, output.cell_model_output.last_hidden_state


class TextGraph(nn.Module):
    """Tokens -> text embeddings, and the states that go into the match."""

    def __init__(self, model: LangCellModel):
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Map (labels, tokens) -> (labels, projection_dim) of unit length, (labels, tokens or 1, text hidden).

        The states have one token where a single layer reads cells: only position 0 of the last layer counts.
        """
        states = self.model.text_encoder(input_ids, attention_mask, return_dict=True).last_hidden_state
        embeds = self.model.project_texts(states, attention_mask)
        return embeds, self.model.text_encoder.states_before_cell(input_ids, attention_mask)


class MatchGraph(nn.Module):
    """States of cells and texts -> match probability of the chosen labels of each cell."""

    def __init__(self, model: LangCellModel):
        super().__init__()
        self.model = model

    def forward(
        self,
        text_states: Tensor,
        attention_mask: Tensor,
        cell_states: Tensor,
        cell_attention_mask: Tensor,
        label_index: Tensor,
    ) -> Tensor:
        """Return which labels each cell is matched with, (cells, chosen) int64 -> their match probabilities, same
        shape.

        Choosing inside the graph serves all ways of re-ranking: every label is a row of 0, 1, 2, ... for each cell.
        """
        text_encoder, chosen = self.model.text_encoder, label_index.flatten()
        read = text_encoder.read_cells(
            text_states[chosen],
            attention_mask[chosen],
            text_encoder.cell_keys_values(cell_states),
            cell_attention_mask,
        )
        return self.model.match_head(read).softmax(-1)[:, 1].view_as(label_index)


@dataclass(frozen=True)
class ExportedGraph:
    """One file of the export.

    Attributes:
        name: name of the file, without its ending.
        module: computes it.
        inputs: the axes of each input by its name, as words; an axis given as None has one length only.
        outputs: names of what it returns.
    """

    name: str
    module: nn.Module
    inputs: dict[str, tuple[str | None, ...]]
    outputs: tuple[str, ...]


def graphs_of(model: LangCellModel) -> list[ExportedGraph]:
    """Return the three graphs of a model, which has to be in evaluation mode."""
    text = model.config.text_config
    one_token = text.cross_attention_start == text.num_hidden_layers - 1
    cells, texts = ("cells", "genes"), ("labels", "tokens")
    match_inputs = {
        "text_states": ("labels", None if one_token else "tokens", None),
        "attention_mask": texts,
        "cell_states": (*cells, None),
        "cell_attention_mask": cells,
        "label_index": ("cells", "chosen"),
    }
    return [
        ExportedGraph(
            CELL_ENCODER,
            CellGraph(model).eval(),
            {"cell_input_ids": cells, "cell_attention_mask": cells},
            ("cell_embeds", "cell_states"),
        ),
        ExportedGraph(
            TEXT_ENCODER,
            TextGraph(model).eval(),
            {"input_ids": texts, "attention_mask": texts},
            ("text_embeds", "text_states"),
        ),
        ExportedGraph(MATCH, MatchGraph(model).eval(), match_inputs, ("match_probability",)),
    ]


@dataclass(frozen=True)
class AxisSizes:
    """Sizes of the axes."""

    cells: int
    genes: int
    labels: int
    tokens: int
    chosen: int


def random_encoder_inputs(config: LangCellConfig, shape: AxisSizes, generator: torch.Generator) -> dict[str, Tensor]:
    """Return random ids with padding of random lengths, for both encoders."""

    def ids(n_ids: int, rows: int, columns: int) -> Tensor:
        return torch.randint(n_ids, (rows, columns), generator=generator)

    def mask(rows: int, columns: int) -> Tensor:
        lengths = torch.randint(1, columns + 1, (rows, 1), generator=generator)
        lengths[0] = columns  # batches are padded to their longest
        return (torch.arange(columns) < lengths).long()

    return {
        "cell_input_ids": ids(config.cell_config.vocab_size, shape.cells, shape.genes),
        "cell_attention_mask": mask(shape.cells, shape.genes),
        "input_ids": ids(config.text_config.vocab_size, shape.labels, shape.tokens),
        "attention_mask": mask(shape.labels, shape.tokens),
        "label_index": ids(shape.labels, shape.cells, shape.chosen),
    }


@torch.no_grad()
def torch_outputs(graphs: list[ExportedGraph], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what the modules make of the inputs of the encoders, with the inputs themselves.

    `no_grad` rather than inference mode: torch.export takes no inference tensors as examples.
    """
    tensors = dict(tensors)
    for graph in graphs:  # in the order of graphs_of: the match reads what the encoders return
        found = graph.module(*(tensors[name] for name in graph.inputs))
        tensors |= dict(zip(graph.outputs, found if isinstance(found, tuple) else (found,), strict=True))
    return tensors
