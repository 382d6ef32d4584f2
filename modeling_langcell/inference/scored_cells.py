"""Both parts of the score of every cell, for whoever joins or measures them in another way than `annotate`."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from torch import Tensor

from langcell.inference.hierarchy.tree_answers import TreeAnswers, answers_alone
from langcell.inference.hierarchy.tree_voice import TreeVoice
from langcell.inference.refinement.confidence import NameConfidence
from langcell.inference.refinement.file_refinement import FileRefinement, heard_cells
from langcell.inference.refinement.mixture import LEAST_CELLS
from langcell.inference.refinement.placing import CellsInFile, NamedFile, PlacedCells
from langcell.inference.running.cell_run import InferenceRun, run_in_memory
from langcell.inference.running.job import settings
from langcell.inference.running.options import ReadingOptions
from langcell.inference.running.reading import Coverage
from langcell.inference.scoring.other_types import with_types
from langcell.inference.scoring.reference import known_reference, measured_reference, with_reference
from langcell.inference.scoring.texts import encode_label_texts
from langcell.loading.loaded import LoadedScorer
from langcell.processing.cells.anndata_io import CellSource, open_cells
from langcell.processing.labels.resolve import Label
from langcell.scoring_langcell import EncodedLabels, score_cells

logger = logging.getLogger("langcell")

NOT_ASKED_FOR = "it was not asked for"


@dataclass(frozen=True)
class ScoredTree:
    """What cells are called where one label lies above another, as `annotate` calls them.

    Attributes:
        is_branch: whether labels are named from the top down; False for a list, whose labels stand for themselves, too.
        alone: answers of each cell by itself; None for a list, where a cell by itself keeps its best label.
        refined: answers once the cells of the file named each other; None where each stands alone.
    """

    is_branch: bool
    alone: TreeAnswers | None = None
    refined: TreeAnswers | None = None


@dataclass(frozen=True)
class ScoredCells:
    """Both parts of the score of every cell, before alpha joins them (`langcell.scoring_langcell.combine_scores`).

    Attributes:
        similarity: cos / temperature, as the model's reference cells say, float32, shape (cells, labels).
        match: match probability, float32, shape (cells, labels); NaN where it was not evaluated.
        known: bool, shape (cells,); whether the cell has a known gene. One that has none is "unassigned".
        coverage: how much of the data the gene vocabulary covers.
        settings: what `annotate` writes into uns["langcell"] on model and data.
        encoder_similarity: cos / temperature of what the encoder alone makes of the cells.
        reference_cells: how many the cells were compared with.
        refined: probabilities of the labels once the cells of the file named each other, as `annotate` names them,
            float32, shape (cells, labels); zeros for a cell without a known gene. None where each stands alone.
        places: where each cell lies among the others, float32, shape (cells, components); None likewise.
        why_alone: why each cell stands alone, in words; "" where cells were refined.
        with_types: similarity with the labels, followed by all types of the reference cells, on one scale, float32,
            shape (cells, labels and types); None where it was not asked for.
        types: Cell Ontology ids of these types.
        tree: what cells are called by labels of which one lies above another; None where none does, or nobody asked.
    """

    similarity: np.ndarray
    match: np.ndarray
    known: np.ndarray
    coverage: Coverage
    settings: dict[str, Any]
    encoder_similarity: np.ndarray
    reference_cells: int
    refined: np.ndarray | None = None
    places: np.ndarray | None = None
    why_alone: str = NOT_ASKED_FOR
    with_types: np.ndarray | None = None
    types: tuple[str, ...] = ()
    tree: ScoredTree | None = None

    def without_reference(self) -> "ScoredCells":
        """Return the same scores with similarities as they are, each cell alone."""
        why = "the refinement was that of the similarities with reference cells"
        alone = {"refined": None, "tree": None, "why_alone": why}
        return replace(self, similarity=self.encoder_similarity, reference_cells=0, **alone)


def score_data(
    adata: Any,
    labels: Sequence[Label],
    *,
    loaded: LoadedScorer,
    reference: bool = True,
    refine: bool = True,
    match: bool = True,
    types: bool = False,
    hierarchy: str = "none",
    **reading: Any,
) -> ScoredCells:
    """Score all cells for resolved labels as `annotate` does, and return the parts of the score; writes nothing.

    Args and errors are those of `annotate`, besides:

    Args:
        adata: as there, like `labels`, `reference` and `reading`.
        labels: resolved.
        loaded: the model.
        reference: whether cells are compared with the model's reference cells.
        refine: whether the cells of the file name each other, too, where there are enough of them.
        match: whether to evaluate the match of every label, which takes most of the time; NaN without.
        types: whether to compare cells with all types of the reference cells, too.
        hierarchy: as there, where "auto" is a list; "none" reads no tree.
        reading: fields of `ReadingOptions`.
    """
    encoded, options = EncodedLabels(encode_label_texts(loaded, labels)), ReadingOptions(**reading)
    with open_cells(adata, **options.source) as source:
        cells = measured_reference(loaded, source) if reference else None
        known = None if cells is None else known_reference(loaded)
        names = loaded.processor.feature_extractor.reference_cells.types if types and cells is not None else ()
        together = with_types(loaded, encoded, cells, np.arange(len(names)), known)
        encoded = with_reference(loaded, encoded, cells, known)
        found = _placed(source, options, len(labels)) if refine else NOT_ASKED_FOR
        placed = PlacedCells() if isinstance(found, str) else found
        temperature = loaded.config.logit_temperature

        def score(*batch: Tensor) -> tuple[Tensor, ...]:
            scores = score_cells(loaded.encoders, encoded, *batch, rerank="full" if match else "none")
            plain = encoded.similarity(scores.cell_embeds, temperature)
            more = () if together is None else (together.similarity(scores.cell_embeds, temperature, *batch[2:]),)
            return scores.similarity, scores.match, plain, *more

        columns = ("similarity", "match", "encoder_similarity", *(() if together is None else ("with_types",)))
        run = InferenceRun(source, loaded, options, score, columns, "scoring cells", cells, placed.facts)
        finished = run_in_memory(run)
        blocks = zip(*finished.parts.read(*columns, "known"), strict=True)
        similarity, matches, plain, *more, heard = (np.concatenate(column) for column in blocks)
        scored = ScoredCells(
            similarity=similarity,
            match=matches,
            known=heard,
            coverage=finished.coverage,
            settings=settings(run, finished.coverage),
            encoder_similarity=plain,
            reference_cells=0 if cells is None else len(cells),
            with_types=more[0] if more else None,
            types=names,
        )
        voice = None if hierarchy == "none" else _voice(labels, hierarchy, loaded)
        calibration = None if cells is None else NameConfidence.of(loaded.config)
        scored = replace(scored, tree=_alone_in_tree(scored, voice, calibration))
        if isinstance(found, str):
            return replace(scored, why_alone=found)
        return _refined(scored, NamedFile(finished.parts, placed), voice, calibration)


def _placed(source: CellSource, options: ReadingOptions, n_labels: int) -> PlacedCells | str:
    """Return how the cells of the file are placed; in words why there is too little for it."""
    if n_labels < 2:
        return "there is one label alone"
    found = PlacedCells.of(source, CellsInFile(), rows_per_chunk=options.rows_per_chunk)
    if isinstance(found, str):
        logger.info("Each cell is named alone: %s.", found)
    return found


def _voice(labels: Sequence[Label], hierarchy: str, loaded: LoadedScorer) -> TreeVoice | None:
    return TreeVoice.of(labels, hierarchy, getattr(loaded.config, "tissue_cell_types", None))


def _alone_in_tree(
    scored: ScoredCells, voice: TreeVoice | None, calibration: NameConfidence | None
) -> ScoredTree | None:
    if voice is None or not voice.is_branch:
        return None if voice is None else ScoredTree(is_branch=False)
    similarity = np.where(scored.known[:, None], scored.similarity, np.nan)
    return ScoredTree(is_branch=True, alone=answers_alone(similarity, voice.text, calibration))


def _refined(
    scored: ScoredCells, file: NamedFile, voice: TreeVoice | None, calibration: NameConfidence | None
) -> ScoredCells:
    """Return the scores with what the cells of the file say of each other."""
    if (n_heard := int(heard_cells(file.sample).sum())) < LEAST_CELLS:
        return replace(scored, why_alone=f"{n_heard} cells have known genes, and {LEAST_CELLS} are needed")
    refinement = FileRefinement(file)
    blocks = [(refinement.posterior(block), block.places) for block in file.blocks()]
    posterior, places = (np.concatenate(column) for column in zip(*blocks, strict=True))
    refined = np.where(scored.known[:, None], posterior, 0.0).astype(np.float32)
    scored = replace(scored, refined=refined, places=places, why_alone="")
    if voice is None or scored.tree is None:
        return scored
    in_tree = FileRefinement(file, **voice.fitting) if voice.is_branch else refinement
    answers = [voice.together(in_tree.heard(block), block.similarity, calibration) for block in file.blocks()]
    together = TreeAnswers(*(np.concatenate([getattr(one, f.name) for one in answers]) for f in fields(TreeAnswers)))
    return replace(scored, tree=replace(scored.tree, refined=together))
