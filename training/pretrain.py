"""Pre-train LangCell, stage 1 or 2.

accelerate launch training/pretrain.py --config training/configs/stage1-mini.yaml [key=value ...]
"""

import argparse
import sys
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import AutoTokenizer

from langcell.processing.ontology import Ontology
from langcell.processing.shards import check_fingerprint
from langcell.training.configs import PretrainConfig, load_config
from langcell.training.global_batch import GlobalBatch
from langcell.training.loop import Pretrainer
from langcell.training.shard_location import find_all
from langcell.training.stages import build_stage
from langcell.training.streaming import BatchCollator, CellBatches, Descriptions, open_shards
from langcell.training.type_relations import types_left_out
from langcell.training.validation import build_validation
from langcell.training.watching import check_trackers


def build(config: PretrainConfig) -> Pretrainer:
    """Everything that a run needs, from its config."""
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
    places = find_all([source.path for source in config.data])
    if not places:
        raise ValueError("data is empty. Name a shard folder, for example data=[{path: shards/simulated}].")
    descriptions, code_maps = Descriptions.read([place.folder for place in places])
    batch = config.batch
    descriptions = descriptions.paraphrased(batch.text_variants, seed=config.seed, dropout=batch.aspect_dropout)
    compares_types = config.stage == 2 or config.objectives.cell_cell.positives != "cell"
    related = (
        types_left_out(descriptions.terms, places, ontology=Ontology.cellxgene(), most_below=config.close_types)
        if compares_types
        else None
    )
    stage = build_stage(config, related_types=related)
    for place in places:
        check_fingerprint(place.manifest, str(stage.model.config.vocabulary_fingerprint))
    longest = stage.model.config.cell_config.max_position_embeddings
    if config.batch.max_length > longest:
        raise ValueError(f"batch.max_length is {config.batch.max_length}; the model reads at most {longest} ids.")

    def open_stream(number: int, streams: int) -> CellBatches:
        return CellBatches(
            open_shards(places, code_maps=code_maps, seed=config.seed, rank=number, world_size=streams),
            weights=[source.weight for source in config.data],
            batch_size=config.batch.size,
            window=config.batch.window,
            max_length=config.batch.max_length,
            seed=config.seed,
            rank=number,
            variants=batch.text_variants,
            gene_dropout=batch.gene_dropout,
            workers=batch.workers,
        )

    batches = GlobalBatch(
        open_stream,
        batch_size=config.batch.size,
        streams=config.batch.streams,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    tokenizer = AutoTokenizer.from_pretrained(config.model.path) if config.stage == 2 else None
    if config.batch.cache_texts and tokenizer is not None:
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
        validation=build_validation(config, stage.model.config, tokenizer=tokenizer),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; a mistake of the user is one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="yaml file, such as training/configs/stage1-mini.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes, such as batch.size=64")
    options = parser.parse_args(arguments)
    try:
        export = build(load_config(options.config, overrides=options.overrides)).run()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"The trained model is in {export}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
