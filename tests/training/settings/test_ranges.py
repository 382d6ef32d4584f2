import re
from dataclasses import fields, is_dataclass, replace
from typing import get_type_hints

import pytest

from langcell.training.settings.ranges import RANGES, Range
from langcell.training.settings.sections import (
    Batch,
    CellCell,
    CellText,
    MaskedGene,
    Objectives,
    OptimizerSection,
    PretrainConfig,
    ShardFolder,
)

CONFIG = PretrainConfig(stage=1, output_dir="x", steps=3)


def optimizer(**options):
    return {"optimizer": OptimizerSection(**options)}


def batch(**options):
    return {"batch": Batch(**options)}


def objectives(**options):
    return {"objectives": Objectives(**options)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"steps": 0}, "steps is 0; it has to be at least 1.", id="steps"),
        pytest.param(
            {"data": [ShardFolder(path="a"), ShardFolder(path="b", weight=0)]},
            "data.1.weight is 0; it has to be above 0.",
            id="weight_of_a_folder",
        ),
        pytest.param(
            objectives(cell_cell=CellCell(temperature=0)),
            "objectives.cell_cell.temperature is 0; it has to be above 0.",
            id="temperature",
        ),
        pytest.param(
            objectives(cell_text=CellText(weight=-1.0)),
            "objectives.cell_text.weight is -1.0; it has to be at least 0 (0 turns the loss off).",
            id="weight_of_a_loss",
        ),
        pytest.param(
            objectives(masked_gene=MaskedGene(rate=1.0)),
            "objectives.masked_gene.rate is 1.0; it has to be above 0 and less than 1.",
            id="all_genes_hidden",
        ),
        pytest.param(optimizer(grad_clip=0), "optimizer.grad_clip is 0; it has to be above 0.", id="grad_clip"),
        pytest.param(optimizer(warmup=-1), "optimizer.warmup is -1; it has to be at least 0.", id="warmup"),
        pytest.param(optimizer(lr=float("nan")), "optimizer.lr is nan; it has to be at least 0.", id="no_number"),
        pytest.param(
            optimizer(final_ratio=1.5),
            "optimizer.final_ratio is 1.5; it has to be at least 0 and at most 1.",
            id="final_ratio",
        ),
        pytest.param(
            optimizer(betas=(0.9, 1.0)),
            "optimizer.betas.1 is 1.0; it has to be at least 0 and less than 1.",
            id="betas",
        ),
        pytest.param(
            batch(max_length=1), "batch.max_length is 1; it has to be at least 2 (<cls> and a gene).", id="max_length"
        ),
        pytest.param(batch(max_text_length=1), "batch.max_text_length is 1; it has to be at least 2", id="no_words"),
        pytest.param(batch(gene_dropout=1.1), "batch.gene_dropout is 1.1; it has to be", id="gene_dropout"),
        pytest.param(batch(aspect_dropout=-0.1), "batch.aspect_dropout is -0.1; it has to be", id="aspect_dropout"),
        pytest.param(batch(text_variants=0), "batch.text_variants is 0; it has to be at least 1.", id="text_variants"),
        pytest.param(batch(workers=-1), "batch.workers is -1; it has to be at least 0.", id="workers"),
        pytest.param(batch(chunk=-1), "batch.chunk is -1; it has to be at least 0 (0: no chunks).", id="chunk"),
    ],
)
def test_a_number_out_of_its_range_is_one_line(change, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        replace(CONFIG, **change)
    assert "\n" not in str(caught.value)


def test_the_ends_of_the_ranges_are_legal():
    ends = optimizer(lr=0.0, warmup=0, final_ratio=1.0, betas=(0.0, 0.999), weight_decay=0.0)
    ends |= batch(size=1, max_length=2, max_text_length=2, gene_dropout=1.0, workers=0)
    assert replace(CONFIG, **ends).optimizer.lr == 0.0


def test_one_loss_at_least_is_on():
    off = Objectives(masked_gene=MaskedGene(weight=0), cell_cell=CellCell(weight=0))
    with pytest.raises(ValueError, match="Every objective has weight 0, so nothing is learned"):
        replace(CONFIG, objectives=off)


def numbers(cls, where=""):
    """Keys of all numbers of a config; a list's item is `*`."""
    hints = get_type_hints(cls)
    for field in fields(cls):
        hint, key = hints[field.name], f"{where}{field.name}"
        items = getattr(hint, "__args__", ())
        if is_dataclass(hint):
            yield from numbers(hint, f"{key}.")
        elif items and is_dataclass(items[0]):
            yield from numbers(items[0], f"{key}.*.")
        elif hint in (int, float):
            yield key
        elif items and items[0] is float:
            yield f"{key}.*"


def test_every_number_of_a_config_has_a_range():
    def matches(key):
        return any(
            all(q in ("*", p) for p, q in zip(key.split("."), name.split("."), strict=True))
            for name in RANGES
            if name.count(".") == key.count(".")
        )

    assert [key for key in numbers(PretrainConfig) if not matches(key)] == ["stage"]  # has words of its own
    assert all(isinstance(legal, Range) for legal in RANGES.values())
