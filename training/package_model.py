"""Turn a trained export into the folder that is published: half precision, processor, code, and an honest card.

python training/package_model.py --work runs/mini --profiles cell_profiles.h5ad --to FOLDER --reports */*-shot.json
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langcell.hub_cards.cards.benchmark_results import write_benchmark_results
from langcell.hub_cards.cards.cards import model_card
from langcell.hub_cards.cards.measurements import all_results
from langcell.inference.scoring.reference import known_reference
from langcell.inference.scoring.texts import embed_with
from langcell.loading.load import load
from langcell.modeling_langcell import LangCellForPreTraining
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.processing_langcell import LangCellProcessor
from langcell.processing.reference_cells import REFERENCE_FILE
from langcell.processing.shards.manifest import Manifest, read_manifest
from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.training.checkpointing.provenance import PROVENANCE_FILE
from langcell.training.evaluation.card_results import read_measurement
from langcell.training.langcell_mini import STAGES
from langcell.training.sentences.sentence_types import store_sentence_types
from langcell.training.states.state_directions import store_state_directions

LIMIT_BYTES = 40_000_000
BENCHMARK = "langcell/cell-naming"
# The 13 genes of the human mitochondrion that code for proteins (Ensembl). The mean profiles have none of them, and
# they rank high in real cells: reading them costs 0.07 of the accuracy on PBMC 3k.
MITOCHONDRIAL_GENES = (
    "ENSG00000198695", "ENSG00000198712", "ENSG00000198727", "ENSG00000198763", "ENSG00000198786", "ENSG00000198804",
    "ENSG00000198840", "ENSG00000198886", "ENSG00000198888", "ENSG00000198899", "ENSG00000198938", "ENSG00000212907",
    "ENSG00000228253",
)  # fmt: skip
_LIMITS = (
    "Human cells only. Mitochondrial genes are not read.",
    "It learned cell types from cells that were simulated from mean expression profiles, not from real labelled cells: "
    "rare types and closely related T cell types are told apart least well (see the tables). It knows five states as "
    "words beside a type (cycling, interferon-stimulated, activated, exhausted, hypoxic), from simulated cells. "
    "Interferon alone was measured on real cells: 84 % of 2,000 blood cells get the right state, each named alone.",
    "The encoder reads at most 175 ranked genes of a cell; the comparison with reference cells reads 1,024.",
    "Panels of less than 1,000 genes: the encoder cannot tell a gene that is absent from one that was not looked for. "
    "With the reference cells names are about as good as those of the nearest mean profile (1,200 cells of pbmc3k in "
    "500 variable genes: macro-F1 0.68 against 0.71; 0.54 without), and the match alone is much worse.",
    "The tables above have similarity and match alone beside the score, and the nearest mean profile: where one of "
    "them names cells better, they say so.",
    "The confidence that `langcell annotate` writes is a probability: of ten cells with 0.8, about eight have the "
    "right name. It comes from six real sets; on a set that it was not fitted to, it is off by 0.07 on average "
    "(expected calibration error), by 0.09 on the worst. One of the given labels always wins, unless `--unknown` says "
    "where to stop.",
    "The tables are of blood. A colorectal tumour and pancreas were measured beside them (training/EXPERIMENTS.md); "
    "types of other tissues are in its training set, and no real cells of them were measured.",
    "For research; not for diagnosis.",
)
# Ids that the shipped model reads of a cell, in place of 256 in training: a third of the time less, and names as good
# (EXPERIMENTS, 2026-11-30).
READ_LENGTH = 176
_LICENCE = (
    "Weights: Apache-2.0. Sources: mean expression profiles of CellProfileLibrary (CC BY 4.0), and of substantia nigra "
    "from CELLxGENE data (CC BY 4.0) by way of the cell atlas approximations; text tower from "
    "all-MiniLM-L6-v2 (Apache-2.0); unlabelled blood cells for stage 1 and gene medians from public 10x Genomics and "
    "GSE96583 data, as redistributed in GPL-3 packages. Of the profiles, reference_cells.npz has which genes rank "
    "first; of the cells, only weights and medians derived from them are part of this folder."
)


def package_model(
    work: Path,
    to: Path,
    reports: Sequence[Path],
    *,
    profiles: Path,
    alpha: float,
    commit: str | None = None,
    benchmark: str = BENCHMARK,
) -> None:
    """Write the published folder.

    Args:
        work: work folder of `training/langcell_mini.py`, trained.
        to: the folder; replaced as a whole.
        profiles: h5ad file of the mean profiles that it was trained on, for the states.
        reports: JSON files of `langcell evaluate`, for the card; zero-shot among them.
        alpha: default weight of the similarity.
        commit: commit of the code that trained it; what the export's `provenance.json` says when None.
        benchmark: Hub id of the benchmark data set that the results are written for, beside the card.

    Raises:
        ValueError: the folder would be larger than 40 MB, weights are missing, there is no report, or a file is
            none.
    """
    if not reports:
        raise ValueError("There is no report: give --reports, what langcell evaluate zero-shot wrote, for the card.")
    export = work / STAGES[-1] / "export"
    model_class: Any = LangCellForPreTraining  # typed without the report
    model, report = model_class.from_pretrained(export, dtype="float32", output_loading_info=True)
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"{export} lacks {len(missing)} weights, such as {missing[0]}; train the last stage again.")
    model.config.alpha = alpha
    measured = [read_measurement(path) for path in reports]
    with atomic_output(to) as building:
        building.mkdir(exist_ok=True)
        model.half().save_pretrained(building)
        _compute_in_float32(building / "config.json")
        _processor_of(export).save_pretrained(building)
        _store_reference_embeds(building)
        store_sentence_types(building)
        store_state_directions(building, CellProfiles.read(profiles))
        for stage in STAGES:
            shutil.copyfile(work / stage / "config.yaml", building / f"{stage}.yaml")
        model_card(
            model_id=to.as_posix(),
            title="LangCell mini",
            summary="Small LangCell weights that run on a laptop: 203 Cell Ontology types over 31 tissues, 39 MB.",
            making=describe_making(work, commit or _trained_by(export)),
            limits=_LIMITS,
            license_id="apache-2.0",
            licence=_LICENCE,
            measurements=measured,
            base_model="sentence-transformers/all-MiniLM-L6-v2",
        ).save(building / "README.md")
        write_benchmark_results(building, all_results(measured), benchmark)
        size = sum(path.stat().st_size for path in building.iterdir())
        if size > LIMIT_BYTES:
            raise ValueError(f"The folder would have {size:,} bytes; at most {LIMIT_BYTES:,} are committed.")


def _processor_of(export: Path) -> LangCellProcessor:
    """Return the processor of the trained model, which is not to read genes that no cell of the training had, and
    fewer of a cell than in training."""
    processor = LangCellProcessor.from_pretrained(export)
    processor.feature_extractor.max_length = min(READ_LENGTH, processor.feature_extractor.max_length)
    known = processor.feature_extractor.vocabulary.match(MITOCHONDRIAL_GENES, synonyms=False) >= 0
    processor.feature_extractor.unread_genes = [
        gene for gene, is_known in zip(MITOCHONDRIAL_GENES, known, strict=True) if is_known
    ]
    return processor


def _store_reference_embeds(folder: Path) -> None:
    """Keep what the shipped weights know of the reference cells, which need not be found at each use then."""
    loaded = load(folder, device="cpu")
    if (cells := loaded.processor.feature_extractor.reference_cells) is not None:
        texts = embed_with(loaded, cells.texts)
        cells.with_embeds(known_reference(loaded), loaded.model, text_embeds=texts).save(folder / REFERENCE_FILE)


def describe_making(work: Path, commit: str) -> str:
    """Return data, with hashes, code and commands, in Markdown."""
    simulated, real = read_manifest(work / "simulated"), read_manifest(work / "real")
    seed = (simulated.simulation or {}).get("seed")
    return "\n".join(
        [
            f"1. {simulated.total_cells:,} cells were simulated (seed {seed}) from mean expression profiles, with "
            "per-experiment gene effects, ambient counts, gene panels, depths of 300 to 50,000 counts and TPM-like "
            "values, each with a text form of its Cell Ontology type or with a name as people write it:",
            *_source_lines(simulated),
            f"2. Stage 1 also read {real.total_cells:,} real blood cells, without labels:",
            *_source_lines(real),
            f"3. Gene vocabulary: fingerprint `{simulated.vocabulary_fingerprint}`. The mean cells of all "
            "profiles (1,200 genes each, as ranks), which cells are compared with, are in `reference_cells.npz`; those "
            "of lung and substantia nigra were added later (`training/more_reference.py`).",
            "4. Stage 1 (`stage1.yaml`) trained the cell encoder, stage 2 (`stage2.yaml`) cells and texts, a third run "
            "(`stage2-match.yaml`) the match alone, which changes no similarity; the text "
            "encoder is all-MiniLM-L6-v2, frozen, without the word pieces that neither the Cell Ontology and UBERON "
            "nor the names that people write for cell types use.",
            "5. Nothing of the two data sets below was in the training, gene medians included: pbmc700 is scanpy's "
            "`pbmc68k_reduced` with its counts recovered (`langcell.sample_data.sample_cells`), pbmc3k is 10x "
            "Genomics' PBMC 3k with Seurat's labels. Alpha is 1, not the paper's 0.1: on six real sets, these two "
            "among them, the match made the names of single cells worse.",
            f"6. Code: commit {commit} of this model's repository.",
            "",
            "```bash",
            "python training/langcell_mini.py --profiles cell_profiles.h5ad --unlabelled frozen_pbmc_donor_a.h5ad "
            "kang_pbmc_2000.h5ad",
            "```",
        ]
    )


def _trained_by(export: Path) -> str:
    """Return the commit that a run noted, in words where it was none."""
    git = json.loads((export / PROVENANCE_FILE).read_text())["git"]
    return git["revision"] if git else "not noted"


def _source_lines(manifest: Manifest) -> list[str]:
    return [f"   - {source['name']}, sha256 `{source.get('sha256', 'unknown')}`" for source in manifest.sources]


def _compute_in_float32(config: Path) -> None:
    # The weights are stored in half precision to be small; transformers would also compute in it, which CPUs do slowly.
    settings = json.loads(config.read_text())
    settings["dtype"] = "float32"
    config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/mini"))
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--profiles", type=Path, required=True, help="Mean profiles of the training, for the states.")
    parser.add_argument("--reports", type=Path, nargs="*", default=[])
    parser.add_argument("--alpha", type=float, default=1.0, help="Weight of the similarity; 1: no match.")
    parser.add_argument("--commit", help="Commit of the code that trained it; what the run noted when not given.")
    parser.add_argument("--benchmark", default=BENCHMARK, help="Hub id of the benchmark data set of the results.")
    options = parser.parse_args()
    try:
        package_model(
            options.work,
            options.to,
            options.reports,
            profiles=options.profiles,
            alpha=options.alpha,
            commit=options.commit,
            benchmark=options.benchmark,
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {options.to}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
