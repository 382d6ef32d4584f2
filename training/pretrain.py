"""Pre-train LangCell, stage 1 or 2.

accelerate launch training/pretrain.py --config training/configs/stage1-mini.yaml [key=value ...]
"""

import argparse
import sys
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import AutoTokenizer

from langcell.processing.ontology import Ontology
from langcell.processing.shards import check_fingerprint, read_manifest
from langcell.training.configs import PretrainConfig, load_config
from langcell.training.loop import Pretrainer
from langcell.training.objectives import related_cell_types
from langcell.training.stages import build_stage
from langcell.training.streaming import BatchCollator, CellBatches, Descriptions, open_shards


def build(config: PretrainConfig) -> Pretrainer:
    """Everything that a run needs, from its config."""
    accelerator = Accelerator(mixed_precision=config.precision)
    set_seed(config.seed)
    rank, world_size = accelerator.process_index, accelerator.num_processes
    folders = [Path(source.path) for source in config.data]
    if not folders:
        raise ValueError("data is empty. Name a shard folder, for example data=[{path: shards/simulated}].")
    manifests = [read_manifest(folder) for folder in folders]
    descriptions, code_maps = Descriptions.read(folders)
    compares_types = config.stage == 2 or config.objectives.cell_cell.positives != "cell"
    related = (
        related_cell_types(descriptions.terms, ancestors=Ontology.cellxgene().ancestors) if compares_types else None
    )
    stage = build_stage(config, related_types=related)
    for manifest in manifests:
        check_fingerprint(manifest, str(stage.model.config.vocabulary_fingerprint))
    longest = stage.model.config.cell_config.max_position_embeddings
    if config.batch.max_length > longest:
        raise ValueError(f"batch.max_length is {config.batch.max_length}; the model reads at most {longest} ids.")
    readers = open_shards(folders, code_maps=code_maps, seed=config.seed, rank=rank, world_size=world_size)
    batches = CellBatches(
        readers,
        weights=[source.weight for source in config.data],
        batch_size=config.batch.size,
        window=config.batch.window,
        max_length=config.batch.max_length,
        seed=config.seed,
        rank=rank,
    )
    tokenizer = AutoTokenizer.from_pretrained(config.model.path) if config.stage == 2 else None
    if config.batch.cache_texts and tokenizer is not None:
        stage.cache_texts(descriptions.texts, tokenizer, max_text_length=config.batch.max_text_length)
    collate = BatchCollator(
        descriptions,
        max_length=config.batch.max_length,
        pad_token_id=stage.model.config.cell_config.pad_token_id,
        tokenizer=tokenizer,
        max_text_length=config.batch.max_text_length,
    )
    return Pretrainer(config, stage=stage, batches=batches, collate=collate, accelerator=accelerator)


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
