"""`langcell finetune`, `langcell merge` and `langcell classify`."""

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langcell.cli.annotate import (
    Device,
    Dtype,
    GeneColumn,
    Input,
    LabelsFile,
    Layer,
    MaxBatchTokens,
    Model,
    Output,
    Values,
    XIs,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

Command = Callable[..., None]


class Method(StrEnum):
    """Which weights are trained."""

    lora = "lora"
    full = "full"
    head = "head"


class Task(StrEnum):
    """What is learned."""

    text = "text"
    classification = "classification"


class TrainingDtype(StrEnum):
    """What products are computed in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Balance(StrEnum):
    """What is done about types of unlike size."""

    sampling = "sampling"
    weights = "weights"
    none = "none"


def register(app: typer.Typer, one_line_errors: Callable[[Command], Command]) -> None:
    """Add the commands to `app`; `one_line_errors` turns what a user can mend into one line and exit code 2."""
    for command in (finetune, merge, classify):
        app.command()(one_line_errors(command))


def finetune(
    data: Annotated[Path, typer.Argument(metavar="DATA.h5ad", help="Cells with known types.", show_default=False)],
    label_column: Annotated[
        str, typer.Option(help="Column of obs with the types: names, or cluster numbers.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the adapter (lora) or the model.", show_default=False)
    ],
    shots: Annotated[int | None, typer.Option(help="Cells of each type to learn from; all when not given.")] = None,
    method: Annotated[Method, typer.Option(help="lora: an adapter; full: all weights; head: the heads.")] = Method.lora,
    task: Annotated[
        Task, typer.Option(help="text: label texts, similarity and match; classification: a head on the cell encoder.")
    ] = Task.text,
    model: Model = "langcell-mini",
    label_ids_column: Annotated[
        str | None, typer.Option(help="Column of obs with each type's ontology id, which gives its text.")
    ] = None,
    labels_file: LabelsFile = None,
    seed: Annotated[int, typer.Option(help="Of the choice of cells and of the training.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Updates at most; by the number of cells when not given.")] = None,
    batch_size: Annotated[int, typer.Option(help="Cells an update.")] = 16,
    learning_rate: Annotated[float | None, typer.Option(help="The highest; by the method when not given.")] = None,
    head_learning_rate: Annotated[
        float | None, typer.Option(help="Of a classification head; --learning-rate, else 0.01, when not given.")
    ] = None,
    gene_dropout: Annotated[float | None, typer.Option(help="Largest share of genes hidden from a view.")] = None,
    lora_rank: Annotated[int, typer.Option(help="Rank of the updates.")] = 8,
    lora_alpha: Annotated[float, typer.Option(help="An update is scaled by this / rank.")] = 16,
    lora_dropout: Annotated[float, typer.Option(help="Of an update's input.")] = 0.0,
    validation_share: Annotated[
        float | None,
        typer.Option(help="Of each type's cells, to stop early by; a fifth of types with 10 cells when not given."),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(help="Share of what was learned that is kept; 0.5 for lora on few cells of known types, else 1."),
    ] = None,
    patience: Annotated[int, typer.Option(help="Looks (20 a run) without a better loss before the end.")] = 5,
    balance: Annotated[
        Balance, typer.Option(help="Types of unlike size: equal parts of batches, weights in the loss, or nothing.")
    ] = Balance.sampling,
    device: Device = None,
    dtype: Annotated[
        TrainingDtype, typer.Option(help="Of products in training; auto: bfloat16 where it is fast.")
    ] = TrainingDtype.auto,
    x_is: XIs = Values.counts,
    gene_column: GeneColumn = None,
    layer: Layer = None,
) -> None:
    """Teach a model the types of DATA from labelled cells, a few of each or all.

    On several devices: accelerate launch training/finetune.py with the same arguments.
    """
    from langcell.training.fine_tuning.finetuning import finetune as run

    accelerator = _launched()
    views: dict[str, Any] = {} if gene_dropout is None else {"gene_dropout": gene_dropout}
    tuned = run(
        data,
        label_column=label_column,
        output=output,
        shots=shots,
        method=method.value,
        task=task.value,
        model=model,
        label_ids_column=label_ids_column,
        labels_file=labels_file,
        seed=seed,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        head_learning_rate=head_learning_rate,
        lora_rank=lora_rank,
        lora_alpha=lora_alpha,
        lora_dropout=lora_dropout,
        validation_share=validation_share,
        strength=strength,
        patience=patience,
        balance=balance.value,
        device=device,
        dtype=dtype.value,
        accelerator=accelerator,
        progress=accelerator is None or accelerator.is_main_process,
        x_is=x_is.value,
        gene_column=gene_column,
        layer=layer,
        **views,
    )
    if accelerator is None or accelerator.is_main_process:
        _print_result(tuned, output, model, method, task)


def merge(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Folder, Hub id, or langcell-mini.")],
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="Folder or Hub id of an adapter of it.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.", show_default=False)],
) -> None:
    """Write base and adapter as one complete model, which needs neither peft nor the base."""
    from langcell.training.fine_tuning.merging import merge_adapter

    merge_adapter(base, adapter, output)
    print(f"Wrote {output}")


def classify(
    cells: Input,
    output: Output,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Fine-tuned classifier, or the base of --adapter; what that names, if not given."),
    ] = None,
    adapter: Annotated[str | None, typer.Option(help="Folder or Hub id of a classification adapter.")] = None,
    device: Device = None,
    dtype: Dtype = "auto",
    x_is: XIs = Values.counts,
    gene_column: GeneColumn = None,
    layer: Layer = None,
    max_batch_tokens: MaxBatchTokens = None,
) -> None:
    """Name the cells of INPUT with a classification head (finetune --task classification), and write them to OUTPUT."""
    from langcell.cli.label_table import print_label_table
    from langcell.inference.classification import run_classification
    from langcell.inference.running.job import Job
    from langcell.inference.running.reading import ReadingOptions

    reading = ReadingOptions(x_is.value, gene_column, layer, max_batch_tokens=max_batch_tokens)
    job = Job(cells, output, device=device, dtype=dtype, options=reading)
    print_label_table(run_classification(job, model, adapter))
    print(f"Wrote {output}")


def _launched() -> "Accelerator | None":
    """The accelerator of a process that `accelerate launch` or torchrun started."""
    if not {"ACCELERATE_MIXED_PRECISION", "WORLD_SIZE"} & os.environ.keys():
        return None
    import torch
    from accelerate import Accelerator

    # Unless told that there is no GPU, Accelerate takes several processes on CPUs for as many runs of one process. The
    # number format is an option of the training (--dtype), which float16, an option of the launcher, would spoil.
    return Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision="no")


def _print_result(tuned: Any, output: Path, model: str, method: Method, task: Task) -> None:
    """What was learned, and the command that uses it."""
    from langcell.loading.load import DEFAULT_MODEL

    print(f"Learned {len(tuned.labels)} types from {len(tuned.train_rows)} cells; the last look:")
    print(", ".join(f"{name} {value:.4g}" for name, value in tuned.history[-1].items()))
    base = "" if model == DEFAULT_MODEL else f"--model {model} "
    what = f"{base}--adapter {output}" if method is Method.lora else f"--model {output}"
    command = f"langcell {'classify' if task is Task.classification else 'annotate'}"
    print(f"Wrote {output}; use it with: {command} CELLS.h5ad -o NAMED.h5ad {what}")
