"""The tables of SCALING.md: operations and memory of the paper's size, and what runs over millions of cells take.

python training/speed/scaling.py        # prints them
python training/speed/scaling.py --write  # puts them into training/SCALING.md
"""

import argparse
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from langcell.configuration_langcell import LangCellConfig
from langcell.modeling_langcell import LangCellForPreTraining
from langcell.processing.files.atomic_output import atomic_output
from langcell.training.settings.files import load_config
from langcell.training.settings.sections import PretrainConfig
from langcell.training.speed.flops import BatchCounts, cell_passes, step_flops
from langcell.training.speed.throughput import TERA, gpu_peak
from langcell.training.stage.stage import active_losses

DOCUMENT = Path(__file__).resolve().parents[1] / "SCALING.md"  # beside the file that an editable install links to
BEGIN, END = "<!-- tables: training/speed/scaling.py -->", "<!-- end of tables -->"
SIZES = (27_500_000, 100_000_000)
MFU = (0.25, 0.40)  # assumed, see SCALING.md
GPUS = {"A100": "NVIDIA A100-SXM4-80GB", "H100": "NVIDIA H100 80GB HBM3"}
GIB = 2**30


@dataclass(frozen=True)
class TypicalInputs:
    """What cells and texts are like.

    Attributes:
        name: name of the case.
        genes: ids a cell, `<cls>` included.
        words: word pieces a text.
    """

    name: str
    genes: int
    words: int = 128


LOADS = (
    TypicalInputs("PBMC (850 genes a cell, as in pbmc3k)", 850),
    TypicalInputs("atlas (1,400)", 1400, 350),
    TypicalInputs("longest (2,048)", 2048, 512),
)


@cache
def base_config(stage: int) -> PretrainConfig:
    """Return the config of a stage at the paper's size."""
    return load_config(Path(__file__).parents[1] / "configs" / f"stage{stage}-base.yaml")


def counts_of(load: TypicalInputs, *, cells: int, negatives: int) -> BatchCounts:
    """Return a batch of equal cells, each with a text of its own: as many texts as there can be."""
    lengths, words = torch.full((cells,), load.genes), torch.full((cells,), load.words)
    return BatchCounts.of_lengths(lengths, words, torch.arange(cells), negatives=negatives)


def flops_a_cell(
    config: PretrainConfig, load: TypicalInputs, *, model: LangCellConfig | None = None
) -> dict[str, float]:
    """Return the operations of forward and backward for one cell and its text, by part of the model."""
    counts = counts_of(load, cells=config.batch.size, negatives=config.objectives.cell_text_matching.negatives)
    work = step_flops(model or LangCellConfig(), config.objectives, counts)
    return {name: part.total / config.batch.size for name, part in work.items()}


def parameters(config: PretrainConfig, *, model: LangCellConfig | None = None) -> dict[str, int]:
    """Return the parameters of the encoders and of the rest that a stage keeps, and how many of all it trains."""
    with torch.device("meta"):
        whole = LangCellForPreTraining(model or LangCellConfig())
    sizes = {"cell encoder": 0, "text encoder": 0, "heads": 0}
    trained = 0
    for name, parameter in whole.named_parameters():
        part = name.partition(".")[0].replace("_", " ")
        sizes[part if part in sizes else "heads"] += parameter.numel()
        is_text = name.startswith(("text_", "match_head"))
        trained += 0 if config.stage == 1 and is_text else parameter.numel()
    return sizes | {"trained": trained}


def activation_bytes(
    config: PretrainConfig,
    load: TypicalInputs,
    *,
    cells: int,
    checkpointing: bool = False,
    model: LangCellConfig | None = None,
) -> float:
    """Return what a forward pass with gradients keeps, in bytes, in bf16 autocast with fused attention.

    Counted from what autograd keeps of each layer (h wide, f inside, n ids a cell, a heads), in bytes a token:
    cell encoder 28 h + 2 f + 2 n + 4 a + 16; text encoder 28 d + 4 f + 4 a + 18. A layer that reads a cell keeps
    40 d + 4 f + 8 a + 26 a word of a pair, and 4 h + 8 d + 4 an id of a cell. The masked-gene head keeps 10 bytes a
    gene of the vocabulary and hidden gene.

    Args:
        config: losses and rates.
        load: load of the cells and texts.
        cells: that go through with gradients at once: `batch.size`, or `batch.chunk`.
        checkpointing: `model.activation_checkpointing`: of an encoder's layer only the float32 input is kept.
        model: sizes; the paper's by default.
    """
    model, on = model or LangCellConfig(), active_losses(config.objectives)
    cell, text = model.cell_config, model.text_config
    h, d, heads = cell.hidden_size, text.hidden_size, text.num_attention_heads
    layer = 28 * h + 2 * cell.intermediate_size + 2 * load.genes + 4 * cell.num_attention_heads + 16
    total = sum(cell_passes(on)) * cells * load.genes * cell.num_hidden_layers * (4 * h if checkpointing else layer)
    if "masked_gene" in on:
        total += config.objectives.masked_gene.rate * cells * load.genes * 10 * cell.vocab_size
    if config.stage == 2:
        layer = 28 * d + 4 * text.intermediate_size + 4 * heads + 18
        total += cells * load.words * text.num_hidden_layers * (4 * d if checkpointing else layer)
    if "cell_text_matching" in on:
        readers = text.num_hidden_layers - text.cross_attention_start
        pairs = 2 + config.objectives.cell_text_matching.negatives  # most that a cell can be part of
        words = pairs * cells * load.words * (40 * d + 4 * text.intermediate_size + 8 * heads + 26)
        # Of the last layer only position 0 is read: it keeps little but keys and values.
        total += (readers - 1) * words + readers * cells * load.genes * (4 * h + 8 * d + 4)
    return total


def days(cells: int, flops: float, *, gpus: int, peak: float, mfu: float) -> float:
    """Return days that one pass over the cells takes."""
    return cells * flops / (gpus * peak * mfu) / 86_400


def tables() -> str:
    """Return all tables, as Markdown."""
    return "\n\n".join([_operations(), _memory(), _passes(), _paper()])


def _operations() -> str:
    names = ("cell encoder", "masked-gene head", "text encoder", "match", "projections and contrast")
    rows = [f"| cells, stage | words a text | {' | '.join(names)} | sum |", "|---|" + "---:|" * (len(names) + 2)]
    for load in LOADS:
        for stage in (1, 2):
            parts = flops_a_cell(base_config(stage), load)
            values = [f"{parts[name] / 1e9:,.1f}" if name in parts else "" for name in names]
            total = f"{sum(parts.values()) / 1e9:,.0f}"
            words = load.words if stage == 2 else ""
            rows.append(f"| {load.name}, stage {stage} | {words} | {' | '.join(values)} | {total} |")
    return "Operations of a cell, forward and backward, in GFLOP:\n\n" + "\n".join(rows)


def _memory() -> str:
    rows = ["| | stage 1 | stage 2 |", "|---|---:|---:|"]
    configs = [base_config(1), base_config(2)]
    sizes = [parameters(config) for config in configs]
    trained = [size["trained"] for size in sizes]
    kept = [sum(size[part] for part in ("cell encoder", "text encoder", "heads")) for size in sizes]
    longest = LOADS[-1]

    def row(name: str, values: list[float]) -> None:
        rows.append(f"| {name} | {' | '.join(f'{value / GIB:,.1f}' for value in values)} |")

    rows.append(f"| parameters, million | {' | '.join(f'{n / 1e6:,.1f}' for n in kept)} |")
    rows.append(f"| of which trained, million | {' | '.join(f'{n / 1e6:,.1f}' for n in trained)} |")
    row("weights, float32 (4 bytes)", [4.0 * n for n in kept])
    row("bf16 copies that autocast makes (2 bytes)", [2.0 * n for n in kept])
    row("gradients (4 bytes)", [4.0 * n for n in trained])
    row("DistributedDataParallel's buckets (4 bytes)", [4.0 * n for n in trained])
    row("Adam (8 bytes)", [8.0 * n for n in trained])
    for title, cells, checkpointing in (
        ("activations, {} cells of 2,048 genes, texts of {} word pieces", None, False),
        ("the same with model.activation_checkpointing", None, True),
        ("activations, batch.chunk 32", 32, False),
        ("activations, batch.chunk 8", 8, False),
    ):
        values = [
            activation_bytes(config, longest, cells=cells or config.batch.size, checkpointing=checkpointing)
            for config in configs
        ]
        row(title.format(configs[0].batch.size, longest.words), values)
    return "Memory of a GPU in GiB, without FSDP:\n\n" + "\n".join(rows)


def _passes() -> str:
    rows = [
        "| cells | genes a cell | words a text | stage | " + " | ".join(f"8 x {name}, days" for name in GPUS) + " |",
        "|---:|---:|---:|---:|" + "---:|" * len(GPUS),
    ]
    for size in SIZES:
        for load in LOADS:
            for stages in ((1,), (2,), (1, 2)):
                flops = sum(sum(flops_a_cell(base_config(stage), load).values()) for stage in stages)
                words, name = (load.words if 2 in stages else ""), " + ".join(map(str, stages))
                spans = [
                    " to ".join(f"{days(size, flops, gpus=8, peak=_peak(gpu), mfu=mfu):.2f}" for mfu in reversed(MFU))
                    for gpu in GPUS
                ]
                rows.append(f"| {size / 1e6:,.1f} M | {load.genes:,} | {words} | {name} | {' | '.join(spans)} |")
    low, high = MFU
    title = f"One pass over all cells in bf16, at an assumed MFU of {high:.0%} to {low:.0%}"
    return f"{title} (1 + 2: one of each stage):\n\n" + "\n".join(rows)


def _paper() -> str:
    """Return the paper's budget, counted in passes of ours."""
    peak, load = _peak("A100"), LOADS[1]
    operations = [4 * 50 * 86_400 * peak * mfu for mfu in MFU]
    a_cell = [sum(flops_a_cell(base_config(stage), load).values()) for stage in (1, 2)]
    passes = [budget / (SIZES[0] * a_cell[1]) for budget in operations]
    steps = [base_config(stage).steps * base_config(stage).batch.size * 8 for stage in (1, 2)]
    run = [
        sum(days(cells, flops, gpus=8, peak=peak, mfu=mfu) for cells, flops in zip(steps, a_cell, strict=True))
        for mfu in reversed(MFU)
    ]
    rows = [
        "| | |",
        "|---|---:|",
        f"| operations of 4 x A100 x 50 days, 1e21 | {' to '.join(f'{o / 1e21:.2f}' for o in operations)} |",
        f"| are so many stage 2 passes over 27.5 M cells | {' to '.join(f'{p:.0f}' for p in passes)} |",
        f"| cells of the two base configs on 8 GPUs, million | {' + '.join(f'{n / 1e6:,.0f}' for n in steps)} |",
        f"| both on 8 x A100, days | {' to '.join(f'{d:.1f}' for d in run)} |",
    ]
    title = f"The paper's budget at the same MFU, with {load.genes:,} genes a cell and {load.words} words a text:"
    return f"{title}\n\n" + "\n".join(rows)


def _peak(gpu: str) -> float:
    peak = gpu_peak(GPUS[gpu], precision="bf16")
    assert peak is not None
    assert peak > TERA
    return peak


def main() -> None:
    """Print the tables, or write them into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put them into training/SCALING.md")
    if parser.parse_args().write:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        with atomic_output(DOCUMENT) as temporary:
            temporary.write_text(f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.partition(END)[2]}")
    else:
        print(tables())


if __name__ == "__main__":
    main()
