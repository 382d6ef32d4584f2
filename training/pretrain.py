"""Pre-train LangCell, stage 1 or 2.

accelerate launch training/pretrain.py --config training/configs/stage1-mini.yaml [key=value ...]

A run that was stopped goes on where its last checkpoint is, when the same command is given again.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import get_int_from_env, set_seed
from torch import Tensor
from transformers import AutoTokenizer

from langcell.processing.ontology.terms import Ontology
from langcell.processing.shards.writer import check_fingerprint
from langcell.training.checkpointing.provenance import describe_origin
from langcell.training.data.described_cells import require_descriptions
from langcell.training.data.global_batch import GlobalBatch
from langcell.training.data.shard_location import ShardLocation, find_all
from langcell.training.data.streaming import BatchCollator, CellBatches, Descriptions, open_shards
from langcell.training.data.type_relations import types_left_out
from langcell.training.pretraining.loop import Pretrainer
from langcell.training.pretraining.resuming import ResumePoint
from langcell.training.pretraining.tracking import check_trackers
from langcell.training.pretraining.validation import build_validation
from langcell.training.settings.files import load_config
from langcell.training.settings.sections import PretrainConfig
from langcell.training.stage.model_options import find_start_folder
from langcell.training.stage.stage import build_stage

# What torchrun and the MPI launchers call a process's number on its machine.
LOCAL_RANK = ("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK")
PATIENCE = 10  # seconds; on a busy machine one process starts that much later than another


def build(config: PretrainConfig, *, may_change_settings: bool = False) -> Pretrainer:
    """Return everything that a run needs, from its config.

    Raises:
        ValueError: a setting, the data or the model cannot be used; nothing is written then.
    """
    check_trackers(config.trackers)
    trackers: list[Any] | None = list(config.trackers) or None  # accelerate warns of an empty list
    accelerator = Accelerator(
        mixed_precision=config.precision,
        log_with=trackers,
        project_dir=config.output_dir,
        # Without this Accelerate takes several processes without a GPU for as many runs of one process.
        cpu=not torch.accelerator.is_available(),
    )
    set_seed(config.seed)
    places, start_folder = _find_shards(config), find_start_folder(config.model)
    origin = describe_origin(config, start_folder=start_folder)
    resume_point = ResumePoint.find(config, origin, accelerator, may_change_settings=may_change_settings)
    descriptions, code_maps = Descriptions.read([place.folder for place in places])
    if config.stage == 2:
        require_descriptions(places, code_maps)
    batch = config.batch
    descriptions = descriptions.paraphrased(batch.text_variants, seed=config.seed, dropout=batch.aspect_dropout)
    stage = build_stage(config, related_types=_related_types(config, descriptions, places))
    for place in places:
        check_fingerprint(place.manifest, str(stage.model.config.vocabulary_fingerprint))
    longest = stage.model.config.cell_config.max_position_embeddings
    if config.batch.max_length > longest:
        raise ValueError(f"batch.max_length is {config.batch.max_length}; the model reads at most {longest} ids.")

    batches = _open_batches(config, places, code_maps, accelerator)
    tokenizer = AutoTokenizer.from_pretrained(start_folder) if config.stage == 2 else None
    validation = build_validation(config, stage.model.config, tokenizer=tokenizer)
    # Of all that comes before the first step this alone takes long: nothing may be refused after it.
    if config.batch.cache_texts and tokenizer is not None and resume_point.step < config.steps:
        stage.cache_texts(descriptions.all_texts(), tokenizer, max_text_length=config.batch.max_text_length)
    collate = BatchCollator(
        descriptions,
        max_length=config.batch.max_length,
        pad_token_id=stage.model.config.cell_config.pad_token_id,
        tokenizer=tokenizer,
        max_text_length=config.batch.max_text_length,
    )
    return Pretrainer(
        config,
        stage=stage,
        batches=batches,
        collate=collate,
        accelerator=accelerator,
        start_folder=start_folder,
        resume_point=resume_point,
        validation=validation,
    )


def _related_types(
    config: PretrainConfig, descriptions: Descriptions, places: Sequence[ShardLocation]
) -> Tensor | None:
    """Pairs of types that no loss compares; None where none compares types."""
    if config.stage == 1 and config.objectives.cell_cell.positives == "cell":
        return None
    return types_left_out(descriptions.terms, places, ontology=Ontology.cellxgene(), most_below=config.close_types)


def _open_batches(
    config: PretrainConfig,
    places: Sequence[ShardLocation],
    code_maps: Sequence[dict[int, int]],
    accelerator: Accelerator,
) -> GlobalBatch:
    """Return the cells of this process; its streams are opened when the run starts."""
    batch = config.batch

    def open_stream(number: int, streams: int) -> CellBatches:
        return CellBatches(
            open_shards(places, code_maps=code_maps, seed=config.seed, rank=number, world_size=streams),
            weights=[source.weight for source in config.data],
            batch_size=batch.size,
            window=batch.window,
            max_length=batch.max_length,
            seed=config.seed,
            rank=number,
            variants=batch.text_variants,
            gene_dropout=batch.gene_dropout,
            workers=batch.workers,
        )

    return GlobalBatch(
        open_stream,
        batch_size=batch.size,
        streams=batch.streams,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )


def _find_shards(config: PretrainConfig) -> list[ShardLocation]:
    if not config.data:
        raise ValueError("data is empty. Name a shard folder, for example data=[{path: shards/simulated}].")
    try:
        return find_all([source.path for source in config.data])
    except ValueError as error:
        raise ValueError(
            f"{error} `langcell tokenize` makes shards of your cells, "
            "training/langcell_mini.py --prepare-only those of the mini configs."
        ) from error


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; a mistake of the user is one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="yaml file, such as training/configs/stage1-mini.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes, such as batch.size=64")
    parser.add_argument(
        "--change-settings",
        action="store_true",
        help="go on from a checkpoint with other settings than it was written with; provenance.json lists them",
    )
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config, overrides=options.overrides)
        training = build(config, may_change_settings=options.change_settings)
        training.start()
        export = training.run()
    except ValueError as error:
        _report(error)
        return 2
    training.accelerator.print(f"The trained model is in {export}.")
    return 0


def _report(error: ValueError) -> None:
    """Say what is wrong, once: mostly all processes find the same mistake.

    The first one says it and leaves, and the launcher ends the others while they wait; if it goes on, the mistake is
    another process's own, which then says it.
    """
    process = get_int_from_env(LOCAL_RANK, 0)
    if process:
        time.sleep(PATIENCE)
    print(f"error{f' in process {process}' if process else ''}: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
