"""The configuration of a pre-training run: a tree of dataclasses, which `files` reads from yaml."""

from dataclasses import dataclass, field
from typing import Literal

from langcell.training.settings.ranges import check_ranges


@dataclass(kw_only=True)
class ModelSection:
    """What the run starts from.

    Attributes:
        path: folder of a LangCell model, as `save_pretrained` writes it: a fresh one, or the export of stage 1.
        attention: kernel of every attention: "sdpa" (the fused one of torch), "flash_attention_2" (needs the package
            flash-attn and bf16), or "eager" (plain products, to compare with).
        compile: compile the encoders' layers with torch.compile. The first steps take minutes.
        activation_checkpointing: keep no activations inside a layer, and compute them again in the backward pass: a
            third more work for a fraction of the memory. The gradients are the same.
    """

    path: str = ""
    attention: Literal["sdpa", "flash_attention_2", "eager"] = "sdpa"
    compile: bool = False
    activation_checkpointing: bool = False


@dataclass(kw_only=True)
class ShardFolder:
    """One folder of tokenized shards and its share of the cells.

    Attributes:
        path: a finished shard folder, as `langcell.processing.shards.writer` writes it.
        weight: how often cells are taken from here, relative to the other folders.
    """

    path: str
    weight: float = 1.0


@dataclass(kw_only=True)
class MaskedGene:
    """`masked_gene`; a weight of 0 turns a loss off. `rate`: the share of genes that is chosen."""

    weight: float = 1.0
    rate: float = 0.15


@dataclass(kw_only=True)
class CellCell:
    """`cell_cell`. `positives`: cell (SimCSE), description or cell_type; the last two leave related types out."""

    weight: float = 1.0
    temperature: float = 0.05
    positives: Literal["cell", "description", "cell_type"] = "cell"
    ignore_related: bool = True


@dataclass(kw_only=True)
class CellText:
    """`cell_text`. `ignore_related`: a pair of related cell types is neither positive nor negative."""

    weight: float = 0.0
    temperature: float = 0.05
    positives: Literal["description", "cell_type"] = "description"
    ignore_related: bool = True


@dataclass(kw_only=True)
class CellTextMatching:
    """`cell_text_matching`. `temperature`: how hard the negatives are (lower is harder); `negatives`: texts a cell."""

    weight: float = 0.0
    temperature: float = 0.05
    negatives: int = 1


@dataclass(kw_only=True)
class Objectives:
    """The four losses; the total is their sum times their weights."""

    masked_gene: MaskedGene = field(default_factory=MaskedGene)
    cell_cell: CellCell = field(default_factory=CellCell)
    cell_text: CellText = field(default_factory=CellText)
    cell_text_matching: CellTextMatching = field(default_factory=CellTextMatching)


@dataclass(kw_only=True)
class OptimizerSection:
    """AdamW with linear warmup, then a cosine down to `final_ratio` of the peak.

    Attributes:
        lr: peak learning rate.
        warmup: steps until the peak.
        final_ratio: learning rate at the last step as a share of the peak.
        weight_decay: on matrices only; biases and LayerNorms are not decayed.
        grad_clip: largest norm of the gradient.
    """

    lr: float = 5e-4
    warmup: int = 100
    final_ratio: float = 0.05
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    grad_clip: float = 1.0


@dataclass(kw_only=True)
class Batch:
    """Batches of one process, or of a stream where `streams` says so.

    Attributes:
        size: cells a forward pass.
        accumulate: forward passes an optimizer step. Contrast is over one pass, not over the accumulated ones.
        max_length: ids a cell with `<cls>`; more are cut off.
        max_text_length: word pieces a text.
        streams: parts that the data is split into; a pass reads `size` cells of each, and the processes share them. 0:
            as many as the processes that begin the run. Given, it makes a run the same on any number of processes.
        chunk: most cells, and most texts, that are encoded with gradients at once, by gradient caching: contrast over
            a large batch in the memory of a small one, for one more forward pass. 0: all of them, directly.
        cache_texts: encode every text once before the run; needs a frozen text encoder.
        window: batches that are drawn together, shuffled, and sorted by length into batches of like lengths.
        text_variants: texts that each description is read in, paraphrases of its plain text; 1: the plain text alone.
        aspect_dropout: probability that a paraphrase leaves out an aspect other than the cell type.
        gene_dropout: each cell loses a share of its genes, drawn between 0 and this, before it is cut to `max_length`.
        workers: processes a stream that read and shuffle cells ahead of their turn; the batches are the same with any
            number. 0: they are read when they are asked for.
    """

    size: int = 128
    accumulate: int = 1
    streams: int = 0
    chunk: int = 0
    max_length: int = 2048
    max_text_length: int = 256
    cache_texts: bool = False
    window: int = 32
    text_variants: int = 1
    aspect_dropout: float = 0.0
    gene_dropout: float = 0.0
    workers: int = 0


@dataclass(kw_only=True)
class CheckpointSection:
    """A checkpoint each `every` steps; the newest `keep` stay."""

    every: int = 500
    keep: int = 2


@dataclass(kw_only=True)
class ValidationSection:
    """Cells that are held out, and how often the model is asked about them.

    Attributes:
        path: a finished shard folder, or a Hub dataset, that the run does not train on; empty: no validation.
        every: optimizer steps between two validations; there is one after the last step, too.
        cells: as many of the folder's cells, evenly spread.
    """

    path: str = ""
    every: int = 500
    cells: int = 1024


@dataclass(kw_only=True)
class PretrainConfig:
    """A whole run.

    Attributes:
        stage: 1: the cell encoder alone; 2: all.
        freeze: regular expressions; parameters whose name one of them finds are not trained.
        close_types: also types with a common ancestor that has at most this many of the run's types below it count as
            related, and none that one source names in one tissue (`type_relations`). 0: a type and its ancestors alone.
        precision: "no" (float32) or "bf16" (autocast; losses stay float32).
        ema_decay: the exported weights are an exponential moving average with this decay; 0 exports the last weights.
        max_bad_steps: steps in a row with a non-finite loss or gradient (each is skipped) before the run stops.
        trackers: where metrics go besides `metrics.jsonl`: any of tensorboard, trackio, wandb; [] for nowhere.
    """

    stage: int
    output_dir: str
    steps: int
    model: ModelSection = field(default_factory=ModelSection)
    data: list[ShardFolder] = field(default_factory=list)
    objectives: Objectives = field(default_factory=Objectives)
    optimizer: OptimizerSection = field(default_factory=OptimizerSection)
    batch: Batch = field(default_factory=Batch)
    checkpoint: CheckpointSection = field(default_factory=CheckpointSection)
    validation: ValidationSection = field(default_factory=ValidationSection)
    freeze: list[str] = field(default_factory=list)
    close_types: int = 0
    precision: Literal["no", "bf16"] = "no"
    seed: int = 0
    ema_decay: float = 0.0
    max_bad_steps: int = 10
    trackers: list[Literal["tensorboard", "trackio", "wandb"]] = field(default_factory=lambda: ["tensorboard"])

    def __post_init__(self):
        check_ranges(self)
        if self.stage not in (1, 2):
            raise ValueError(f"stage is {self.stage}. Legal stages: 1 (cell encoder alone), 2 (cells and texts).")
        text_losses = self.objectives.cell_text.weight + self.objectives.cell_text_matching.weight
        if self.stage == 1 and text_losses > 0:
            raise ValueError("cell_text and cell_text_matching need texts: set their weights to 0, or stage to 2.")
        if not any(vars(options)["weight"] > 0 for options in vars(self.objectives).values()):
            names = ", ".join(vars(self.objectives))
            raise ValueError(f"Every objective has weight 0, so nothing is learned. Give a weight to any of: {names}.")
