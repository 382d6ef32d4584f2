"""The formula against what torch counts while the stage really runs."""

from dataclasses import replace

import pytest
import torch
from tiny import MAX_TEXT_LENGTH, tiny_config, tiny_model
from torch.utils.flop_counter import FlopCounterMode

from langcell.training.settings.sections import CellCell, CellText, CellTextMatching, MaskedGene, Objectives
from langcell.training.speed.flops import BatchCounts, TrainedParts, step_flops
from langcell.training.stage.frozen_texts import FrozenTexts
from langcell.training.stage.stage import LOSSES_OF_PART, PretrainingStage, active_losses, freeze

CELLS, GENES, TEXTS, WORDS = 6, 17, 4, 9
# Every gene is masked, so that the number of masked genes is known.
MASKED = MaskedGene(rate=1 - 1e-9)
OFF = Objectives(masked_gene=MaskedGene(weight=0), cell_cell=CellCell(weight=0))
ALL = Objectives(
    masked_gene=MASKED, cell_text=CellText(weight=1.0), cell_text_matching=CellTextMatching(weight=1.0)
)  # fmt: skip


def with_negatives(count: int, others: Objectives = ALL) -> Objectives:
    return replace(others, cell_text_matching=CellTextMatching(weight=1.0, negatives=count))


def batch_without_padding(model) -> dict[str, torch.Tensor]:
    """Each cell has a text of its own type, so that every cell and text has a negative."""
    generator = torch.Generator().manual_seed(0)
    genes = torch.randint(2, 40, (CELLS, GENES), generator=generator)
    genes[:, 0] = model.config.cell_config.cls_token_id
    own = torch.arange(CELLS) % TEXTS
    return {
        "cell_input_ids": genes,
        "cell_attention_mask": torch.ones_like(genes),
        "cell_description": own,
        "cell_type": own,
        "input_ids": torch.randint(5, 20, (TEXTS, WORDS), generator=generator),
        "attention_mask": torch.ones(TEXTS, WORDS, dtype=torch.long),
        "text_description": torch.arange(TEXTS),
        "text_type": torch.arange(TEXTS),
        "own_text": own,
    }


def counted(stage, batch) -> tuple[int, int]:
    """Forward, and forward with backward, as torch counts them."""
    with FlopCounterMode(display=False) as forward:
        loss = stage(batch)["loss"]
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return forward.get_total_flops(), forward.get_total_flops() + backward.get_total_flops()


CASES = [
    pytest.param(Objectives(masked_gene=MASKED), (), 1, id="stage_1"),
    pytest.param(Objectives(masked_gene=MaskedGene(weight=0)), (), 1, id="cell_cell_alone_reads_cells_twice"),
    pytest.param(Objectives(masked_gene=MASKED, cell_cell=CellCell(weight=0)), (), 1, id="masked_gene_alone"),
    pytest.param(ALL, (), 0, id="stage_2_cross_attention_everywhere"),
    pytest.param(ALL, (), 1, id="stage_2"),
    pytest.param(ALL, (), 2, id="stage_2_last_layer_reads_cells"),
    pytest.param(replace(OFF, cell_text=CellText(weight=1.0)), (), 1, id="cell_text_alone"),
    pytest.param(replace(OFF, cell_text_matching=CellTextMatching(weight=1.0)), (), 1, id="match_alone"),
    pytest.param(with_negatives(3), (), 1, id="three_texts_a_cell_that_do_not_describe_it"),
    pytest.param(with_negatives(2, OFF), (r"^(?!.*(crossattention|match_head))",), 2, id="match_of_frozen_encoders"),
    pytest.param(ALL, (r"^text_encoder\.(?!.*crossattention)",), 0, id="frozen_text_encoder"),
    pytest.param(ALL, (r"^text_encoder\.(?!.*crossattention)",), 2, id="frozen_text_encoder_last_layer"),
    pytest.param(ALL, (r"^cell_encoder\.",), 1, id="frozen_cell_encoder"),
]


@pytest.mark.parametrize(("objectives", "frozen", "start"), CASES)
def test_the_formula_is_what_torch_counts(objectives, frozen, start):
    # Eager attention: the fused kernels of the CPU are not counted by torch.
    model = tiny_model(tiny_config(text={"cross_attention_start": start}))
    model.set_attn_implementation("eager")
    unreached = [pattern for pattern, losses in LOSSES_OF_PART.items() if not losses & active_losses(objectives).keys()]
    freeze(model, patterns=[*frozen, *unreached])
    stage = PretrainingStage(model, objectives).train()
    batch = batch_without_padding(model)
    counts = BatchCounts.of_batch(batch, negatives=objectives.cell_text_matching.negatives)
    work = step_flops(model.config, objectives, counts, TrainedParts.of_stage(stage))
    forward, total = counted(stage, batch)
    assert sum(part.forward for part in work.values()) == pytest.approx(forward, rel=1e-6)
    assert sum(part.total for part in work.values()) == pytest.approx(total, rel=1e-6)


def test_texts_that_were_encoded_before_the_run_cost_nothing():
    model = tiny_model(tiny_config(text={"cross_attention_start": 2}))
    model.set_attn_implementation("eager")
    freeze(model, patterns=[r"^text_encoder\.(?!.*crossattention)"])
    stage = PretrainingStage(model, ALL).train()
    width = model.config.text_config.hidden_size
    stage.frozen_texts = FrozenTexts(pooled=torch.randn(TEXTS, width), before_cell=torch.randn(TEXTS, width))
    batch = batch_without_padding(model)
    work = step_flops(model.config, ALL, BatchCounts.of_batch(batch, negatives=1), TrainedParts.of_stage(stage))
    assert "text encoder" not in work
    assert sum(part.total for part in work.values()) == pytest.approx(counted(stage, batch)[1], rel=1e-6)


def test_padding_is_not_counted():
    model = tiny_model()
    batch = batch_without_padding(model)
    longer = dict(batch)
    for name, columns in (("cell_input_ids", 5), ("cell_attention_mask", 5), ("input_ids", 3), ("attention_mask", 3)):
        longer[name] = torch.nn.functional.pad(batch[name], (0, columns))
    assert longer["input_ids"].shape[1] <= MAX_TEXT_LENGTH
    assert BatchCounts.of_batch(longer, negatives=2) == BatchCounts.of_batch(batch, negatives=2)


def test_a_batch_with_too_few_texts_has_fewer_pairs():
    """What stands in the places of the missing ones is read, but is padding."""
    batch = batch_without_padding(tiny_model())
    pairs = [BatchCounts.of_batch(batch, negatives=count).pairs for count in (1, 3, 15)]
    assert pairs == [2 * CELLS + TEXTS, 4 * CELLS + TEXTS, 4 * CELLS + TEXTS]
    alone = BatchCounts.of_lengths(torch.tensor([3, 5]), torch.tensor([4]), torch.tensor([0, 0]), negatives=3)
    assert alone.pairs == 2


def test_counts_of_batches_add_up():
    one = BatchCounts.of_lengths(torch.tensor([3, 5]))
    two = BatchCounts.of_lengths(torch.tensor([4]))
    both = one + two
    assert (both.cells, both.cell_tokens, both.cell_tokens_squared) == (3, 12, 50)
    # Contrast is over one pass, not over the passes of a step.
    assert both.contrast_cells == 2**2 + 1
