"""One process; chunks on several are in test_distribution.py."""

import pytest
import stage_on_ranks
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from stage_on_ranks import CASES, CELLS, Case, global_batch
from torch.testing import assert_close

from langcell.training.randomness import DROPOUT, draw_number
from langcell.training.settings.sections import CellCell, CellText, MaskedGene, Objectives
from langcell.training.stage.gradient_caching import backward_in_chunks
from langcell.training.stage.stage import PretrainingStage

BOTH_CONTRASTS = Objectives(
    masked_gene=MaskedGene(weight=0), cell_cell=CellCell(positives="description"), cell_text=CellText(weight=1.0)
)
DRAW = 7


@pytest.fixture
def accelerator():
    yield Accelerator(cpu=True)
    AcceleratorState._reset_state(reset_partial_state=True)


def gradients(stage):
    return {name: weight.grad for name, weight in stage.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.chunk and not case.fsdp])
@pytest.mark.parametrize("chunk", [pytest.param(5, id="uneven"), pytest.param(1, id="one_by_one"), 100])
def test_chunks_give_the_losses_and_gradients_of_the_whole(accelerator, name, chunk):
    case = CASES[name]
    whole = stage_on_ranks.run(case, accelerator)
    chunked = stage_on_ranks.run(Case(case.objectives, chunk=chunk, frozen=case.frozen), accelerator)
    assert chunked.keys() == whole.keys()
    for each, expected in whole.items():
        assert_close(chunked[each], expected, atol=1e-5, rtol=0, msg=lambda text, each=each: f"{each}: {text}")


def test_both_rounds_fall_under_the_same_dropout(accelerator):
    """Against a direct pass whose chunks are seeded alike."""
    model = stage_on_ranks.tiny_model(stage_on_ranks.tiny_config())
    assert model.config.cell_config.hidden_dropout_prob > 0
    stage = PretrainingStage(model, BOTH_CONTRASTS, related_types=stage_on_ranks.RELATED).train()
    batch = global_batch()
    reads = []
    for index, rows in enumerate(torch.arange(CELLS).split(4)):
        torch.manual_seed(draw_number(DRAW, 0, DROPOUT, 1, index))
        length = int(batch["cell_attention_mask"][rows].sum(1).max())
        part = {name: batch[name][rows, :length] for name in ("cell_input_ids", "cell_attention_mask")}
        reads.append(stage.read_cells(part, draw=DRAW))
    texts = []
    for index, rows in enumerate((slice(0, 3), slice(3, 6))):
        torch.manual_seed(draw_number(DRAW, 0, DROPOUT, 2, index))
        texts.append(stage.read_texts({name: batch[name][rows] for name in ("input_ids", "attention_mask")})[0])
    views = {name: torch.cat([getattr(read, name) for read in reads]) for name in ("first", "cells")}
    stage.summed(stage.contrast(batch, texts=torch.cat(texts), **views))["loss"].backward()
    expected = {name: gradient.clone() for name, gradient in gradients(stage).items()}
    stage.zero_grad()
    backward_in_chunks(stage, stage, batch, accelerator=accelerator, chunk=4, draw=DRAW)
    assert_close(gradients(stage), expected, atol=1e-5, rtol=0)


def test_bf16(accelerator):
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    case = CASES["stage_2"]
    whole = stage_on_ranks.run(case, accelerator)
    chunked = stage_on_ranks.run(Case(case.objectives, chunk=5), accelerator)
    for name in case.objectives.__dataclass_fields__:
        assert chunked[name].item() == pytest.approx(whole[name].item(), rel=0.02)
    one, two = (torch.cat([t.flatten() for t in result.values() if t.ndim]) for result in (whole, chunked))
    assert torch.nn.functional.cosine_similarity(one, two, dim=0) > 0.99


def test_passes_add_up_with_their_scale(accelerator):
    stage = PretrainingStage(stage_on_ranks.tiny_model(stage_on_ranks.tiny_config()), CASES["stage_2"].objectives)
    batch, options = global_batch(), {"accelerator": accelerator, "chunk": 5, "draw": DRAW}
    backward_in_chunks(stage, stage, batch, **options)
    expected = {name: gradient.clone() for name, gradient in gradients(stage).items()}
    stage.zero_grad()
    for sync in (False, True):
        backward_in_chunks(stage, stage, batch, scale=0.5, sync=sync, **options)
    assert_close(gradients(stage), expected, atol=1e-5, rtol=0)


def test_forward_passes_of_a_cell_are_those_that_the_docstrings_count(accelerator):
    model = stage_on_ranks.tiny_model(stage_on_ranks.tiny_config())
    cells, texts = [], []
    model.cell_encoder.register_forward_hook(lambda _, __, output: cells.append(len(output.last_hidden_state)))
    model.text_encoder.embeddings.register_forward_hook(lambda _, __, output: texts.append(len(output)))
    batch = global_batch()

    def passes(objectives, *, chunk=0):
        cells.clear()
        texts.clear()
        stage = PretrainingStage(model, objectives)
        if chunk:
            backward_in_chunks(stage, stage, batch, accelerator=accelerator, chunk=chunk, draw=DRAW)
        else:
            stage(batch, draw=DRAW)
        return sum(cells) / CELLS, sum(texts) / len(batch["input_ids"])

    assert passes(CASES["stage_1"].objectives) == (2, 0)
    assert passes(CASES["stage_2"].objectives) == (2, 1)
    assert passes(BOTH_CONTRASTS) == (2, 1), "without masked_gene, cell_cell needs a second pass"
    assert passes(CASES["stage_2"].objectives, chunk=5) == (4, 2)
    assert passes(Objectives(cell_cell=CellCell(weight=0)), chunk=5) == (1, 0), "nothing is contrasted: one round"
