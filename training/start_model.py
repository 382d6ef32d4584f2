"""The model that stage 1 starts from, at the paper's size: a fresh cell encoder or Geneformer V1, and a BERT for text.

python training/start_model.py --vocabulary gene_vocabulary.tsv --text-tower PATH_OR_ID --to runs/start-base
python training/start_model.py --vocabulary gene_vocabulary.tsv --text-tower PATH_OR_ID --to runs/start-base \
    --cell-tower GENEFORMER_DIR
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from langcell.conversion.assemble import new_langcell
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.genes import VOCABULARY_FILE, GeneVocabulary
from langcell.processing.vocabulary.vocabulary_files import read_vocabulary

_PICKLE = b"\x80"  # how pickles begin since protocol 2


def write_start_model(
    to: Path, *, vocabulary: GeneVocabulary, text_tower: str, cell_tower: str | None = None, seed: int = 0
) -> None:
    """Write a Hub folder that `model.path` of a config can name.

    Args:
        to: the folder; must not exist.
        vocabulary: genes of the cell encoder.
        text_tower: folder or Hub id of a BERT.
        cell_tower: folder or Hub id of Geneformer V1; without it the cell encoder is fresh, 12 layers
            of 512 with 8 heads.
        seed: random seed of the fresh weights.

    Raises:
        ValueError: the folder exists, or a tower does not fit.
    """
    if to.exists():
        raise ValueError(f"{to} exists. Give another folder, or remove it.")
    to.parent.mkdir(parents=True, exist_ok=True)
    # The defaults of LangCellCellConfig are the paper's sizes.
    model, processor = new_langcell(vocabulary, text_tower, cell_config={}, cell_tower=cell_tower, seed=seed)
    with atomic_output(to) as building:
        model.save_pretrained(building)
        processor.save_pretrained(building)


def read_start_vocabulary(path: Path) -> GeneVocabulary:
    """Return the gene vocabulary in a file.

    Raises:
        ValueError: it is none; a pickle, as Geneformer publishes its dictionaries, is named as one.
    """
    if not path.is_file():
        raise ValueError(f"There is no file {path}. Give the {VOCABULARY_FILE} that the shards were made with.")
    with path.open("rb") as file:
        is_pickle = file.read(1) == _PICKLE
    if is_pickle:
        raise ValueError(
            f"{path} is a pickle; give the {VOCABULARY_FILE} that the shards are made with "
            "(training/SCALING.md says how to make it of Geneformer's dictionaries)."
        )
    return read_vocabulary(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; a mistake of the user is one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=Path, required=True, help="gene_vocabulary.tsv that made the shards")
    parser.add_argument("--text-tower", required=True, help="folder or Hub id of a BERT, such as PubMedBERT")
    parser.add_argument("--cell-tower", help="folder or Hub id of Geneformer V1; without it the cell encoder is fresh")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        write_start_model(
            options.to,
            vocabulary=read_start_vocabulary(options.vocabulary),
            text_tower=options.text_tower,
            cell_tower=options.cell_tower,
            seed=options.seed,
        )
    except (ValueError, OSError) as error:
        print(f"error: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    print(f"The start model is in {options.to}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
