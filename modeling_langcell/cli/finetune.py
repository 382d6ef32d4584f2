"""`langcell finetune`, `langcell merge` and `langcell classify`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langcell.cli.options import Cells, LabelledCells, Output
from langcell.inference.running.options import ReadingOptions, WritingOptions
from langcell.loading.options import ClassifierOptions, PlacedModel
from langcell.processing.options import ReadOptions
from langcell.training.fine_tuning.options import TuningOptions
from langcell.training.labelled.options import LabelColumnOptions

if TYPE_CHECKING:
    from accelerate import Accelerator


def finetune(
    data: LabelledCells,
    types: LabelColumnOptions,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the adapter (lora) or the model.", show_default=False)
    ],
    model: PlacedModel,
    tuning: TuningOptions,
    reading: ReadOptions,
) -> None:
    """Teach a model the types of DATA from labelled cells, a few of each or all.

    On several devices: accelerate launch training/finetune.py with the same arguments.
    """
    from langcell.training.fine_tuning.finetuning import finetune as run

    accelerator = _launched()
    is_main = accelerator is None or accelerator.is_main_process
    options = {**vars(types), **vars(model), **vars(tuning), **vars(reading), "progress": is_main}
    tuned = run(data, output=output, accelerator=accelerator, **options)
    if is_main:
        _print_result(tuned, output, str(model.model), tuning)


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
    cells: Cells, output: Output, model: ClassifierOptions, reading: ReadingOptions, writing: WritingOptions
) -> None:
    """Name the cells of INPUT with a classification head (finetune --task classification), and write them to OUTPUT."""
    from langcell.cli.label_table import print_label_table
    from langcell.inference.classification import run_classification
    from langcell.inference.running.job import InferenceJob

    how = {"device": model.device, "dtype": model.dtype, "drop_unwritable": writing.drop_unwritable}
    job = InferenceJob(cells, output, options=reading, **how)
    print_label_table(run_classification(job, model.model, model.adapter))
    print(f"Wrote {output}")


def _launched() -> "Accelerator | None":
    """Return the accelerator of a process that `accelerate launch` or torchrun started."""
    if not {"ACCELERATE_MIXED_PRECISION", "WORLD_SIZE"} & os.environ.keys():
        return None
    import torch
    from accelerate import Accelerator

    # Unless told that there is no GPU, Accelerate takes several processes on CPUs for as many runs of one process. The
    # number format is an option of the training (--dtype), which float16, an option of the launcher, would spoil.
    return Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision="no")


def _print_result(tuned: Any, output: Path, model: str, tuning: TuningOptions) -> None:
    """Print what was learned, and the command that uses it."""
    from langcell.loading.load import DEFAULT_MODEL

    print(f"Learned {len(tuned.labels)} types from {len(tuned.train_rows)} cells; the last validation check:")
    print(", ".join(f"{name} {value:.4g}" for name, value in tuned.history[-1].items()))
    base = "" if model == DEFAULT_MODEL else f"--model {model} "
    what = f"{base}--adapter {output}" if tuning.method == "lora" else f"--model {output}"
    command = "langcell classify" if tuning.task == "classification" else "langcell annotate"
    print(f"Wrote {output}; use it with: {command} CELLS.h5ad -o NAMED.h5ad {what}")
