"""From scores to labels: which cell gets which name, and the output columns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from langcell.inference.hierarchy.levels import BROAD, MEDIUM, class_names
from langcell.inference.hierarchy.tree_voice import TreeVoice
from langcell.inference.naming.calibration import UNKNOWN, best_labels, confidence_of, named_probabilities
from langcell.inference.naming.ontology_backoff import back_off
from langcell.inference.naming.options import NamingOptions
from langcell.inference.naming.smoothing import smooth_scores
from langcell.inference.refinement.confidence import NameConfidence
from langcell.inference.refinement.file_refinement import FileRefinement, FileVoice
from langcell.inference.refinement.novelty import Novelty, is_unknown
from langcell.inference.refinement.placing import Block, NamedFile
from langcell.inference.running.parts import ResultParts
from langcell.inference.scoring.legal_values import AUTO_UNKNOWN
from langcell.processing.labels.resolve import Label
from langcell.processing.ontology.terms import Ontology

UNASSIGNED = "unassigned"


@dataclass(frozen=True)
class NamedCells:
    """A label for every cell.

    Attributes:
        codes: int32, shape (cells,); index into names.
        names: what cells can be called: the labels in order, then the words for cells without one, then ancestors.
        term_ids: ontology id of each name, "" where it has none.
        confidence: float32, shape (cells,); 0 where a cell has no known gene.
        scores: when they were smoothed, float32, shape (cells, labels); else None, they are those of the parts.
        alone: int32, shape (cells,); index into names of what each cell is called by itself, where it was refined.
        novelty: float32, shape (cells,); how little any label fits, 0 to 1.
        fine: int32, shape (cells,); index into names of the finest label, where labels lie above one another.
    """

    codes: np.ndarray
    names: list[str]
    term_ids: list[str]
    confidence: np.ndarray
    scores: np.ndarray | None = None
    alone: np.ndarray | None = None
    novelty: np.ndarray | None = None
    fine: np.ndarray | None = None

    def obs(self) -> dict[str, Any]:
        """Return the columns of obs."""
        used = sorted({self.term_ids[code] for code in np.unique(self.codes)})
        place = np.array([used.index(term_id) if term_id in used else -1 for term_id in self.term_ids])
        columns = {
            "langcell_label": self._named(self.codes),
            "langcell_ontology_term_id": pd.Categorical.from_codes(place[self.codes], used),
            "langcell_confidence": self.confidence,
        }
        if self.alone is not None:
            columns["langcell_label_alone"] = self._named(self.alone)
        if self.novelty is not None:
            columns["langcell_novelty"] = self.novelty
        return columns | ({} if self.fine is None else self._levels(self.fine))

    def _levels(self, fine: np.ndarray) -> dict[str, Any]:
        """Broad and medium class of each label, and the finest label; words for cells without one stand for all."""
        named = np.isin(self.codes, np.flatnonzero([bool(term_id) for term_id in self.term_ids]))
        columns = {}
        for level, classes in (("broad", BROAD), ("medium", MEDIUM)):
            classed = class_names(self.names, self.term_ids, classes, Ontology.cellxgene())
            columns[f"langcell_label_{level}"] = pd.Categorical(np.array(classed, dtype=object)[self.codes])
        finest = np.array(self.names, dtype=object)[np.where(named, fine, self.codes)]
        return columns | {"langcell_label_fine": pd.Categorical(finest)}

    def _named(self, codes: np.ndarray) -> pd.Categorical:
        """The names of cells; "unassigned" is a category only where a cell has it, since a legend shows them all."""
        column = pd.Categorical.from_codes(codes, self.names)
        if (codes == self.names.index(UNASSIGNED)).any():
            return column
        return column.set_categories([name for name in self.names if name != UNASSIGNED])


def storable(labels: list[Label], options: NamingOptions) -> list[Label]:
    """Return the labels, if the results can hold them as categories.

    Raises:
        ValueError: a name is one that the results use themselves.
    """
    reserved = [UNASSIGNED, *([UNKNOWN] if options.unknown is not None else [])]
    for label in labels:
        if label.name in reserved:
            raise ValueError(f"{label.name!r} cannot be a label, results use the word themselves; give another name.")
    return labels


def masked_scores(parts: ResultParts) -> Iterator[np.ndarray]:
    """Yield the scores of all cells block by block, NaN where a cell has no known gene."""
    for scores, known in parts.read("scores", "known"):
        yield np.where(known[:, None], scores, np.float32(np.nan))


@dataclass(frozen=True)
class FileVoices:
    """What the whole file adds to the scores of each cell; see `langcell.inference.refinement`.

    Attributes:
        file: its cells, placed.
        refinement: fitted to them; None names each cell alone.
        confidence: what makes a probability of a name; None where the model has no parameters for it.
        novelty: says how little any label fits a cell; None where similarities cannot be compared between files.
        tree: which labels lie above others, where they do not compete as equals.
    """

    file: NamedFile
    refinement: FileRefinement | None = None
    confidence: NameConfidence | None = None
    novelty: Novelty | None = None
    tree: TreeVoice | None = None


def confidence_is_probability(options: NamingOptions, voices: FileVoices) -> bool:
    """Return whether a confidence of 0.8 means that about eight of ten such names are right."""
    calibrated = confidence_of(options.unknown)[0] is not None
    plain = options.smooth is None and options.ontology_backoff is None
    return calibrated or (plain and voices.confidence is not None)


def name_cells(
    parts: ResultParts,
    labels: Sequence[Label],
    options: NamingOptions,
    *,
    neighbour_space: np.ndarray | None = None,
    voices: FileVoices | None = None,
) -> NamedCells:
    """Return the labels and confidences from the scores: refined, or smoothed, backed off and rejected as the options
    say.

    Block by block, but for the smoothing, which looks at all cells at once and so holds all scores in memory.

    Args:
        parts: scores, embeddings and what else was computed of the cells.
        labels: in the order of the scores' columns.
        options: how scores become labels.
        neighbour_space: the matrix that `options.smooth_over` names, (cells, columns).
        voices: what the file says beyond the scores; None where only these count.
    """
    namer, smoothed = _Namer(labels, options), None
    blocks = namer.read(parts)
    if options.smooth is not None:
        if neighbour_space is None:
            neighbour_space = np.concatenate([block for (block,) in parts.read("embeddings")])
        blocks = [_smoothed(blocks, neighbour_space, options.smooth)]
        smoothed = blocks[0].scores
    if voices is None:
        named = [(*namer.name(block), block.known) for block in blocks]
        codes, confidence, known = (np.concatenate(columns) for columns in zip(*named, strict=True))
        more: dict[str, np.ndarray] = {}
    elif options.smooth is None:
        codes, confidence, known, more = _heard_in_file(namer, blocks, voices)
    else:
        (block,) = blocks
        (codes, confidence), known = namer.name(block), block.known
        more = {} if voices.novelty is None else {"novelty": np.concatenate([*_novelty(voices)])}
    codes = namer.rejected(codes, confidence, known, more.get("novelty"))
    return NamedCells(codes, list(namer.term_ids), list(namer.term_ids.values()), confidence, smoothed, **more)


def _heard_in_file(
    namer: "_Namer", blocks: Iterable["_Block"], voices: FileVoices
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Codes, confidence, known, and further columns of all cells."""
    columns: dict[str, list[np.ndarray]] = {}
    for block, cells in zip(blocks, voices.file.blocks(), strict=True):
        found = _named_in_file(namer, block, cells, voices)
        if voices.novelty is not None:
            found["novelty"] = voices.novelty.score(cells.similarity, cells.places, cells.margin).astype(np.float32)
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    return joined.pop("codes"), joined.pop("confidence"), joined.pop("known"), joined


def _named_in_file(namer: "_Namer", block: "_Block", cells: Block, voices: FileVoices) -> dict[str, np.ndarray]:
    """Code, confidence and known of some cells; where they are refined, what each would be called by itself, too."""
    codes, confidence = namer.name(block)
    if voices.tree is not None:
        return _named_in_tree(codes, confidence, block.known, cells, voices)
    found = {"codes": codes, "confidence": confidence, "known": block.known}
    label = np.where(block.known & (codes < len(namer.labels)), codes, -1)
    if voices.refinement is None:
        plain = namer.calibration is None and namer.options.ontology_backoff is None
        if voices.confidence is not None and plain:
            found["confidence"] = voices.confidence.alone(cells.similarity, label).astype(np.float32)
        return found
    posterior, agreement = _heard(voices.refinement, cells, block.known)
    refined = np.where(block.known, posterior.argmax(axis=1), -1)
    probability = posterior.max(axis=1)
    if voices.confidence is not None:
        probability = voices.confidence.refined(agreement, refined)
    found["codes"] = np.where(block.known, refined, codes).astype(np.int32)
    found["confidence"] = np.where(block.known, probability, 0.0).astype(np.float32)
    return found | {"alone": codes}


def _heard(refinement: FileRefinement, cells: Block, known: np.ndarray) -> FileVoice:
    """Return what the file says of some cells.

    Raises:
        ValueError: a cell with a known gene has none.
    """
    found = refinement.heard(cells)
    if faults := int((known & ~found.posterior.any(axis=1)).sum()):
        raise ValueError(f"The model gives {faults} cells NaN similarities; try --dtype float32, or other weights.")
    return found


def _named_in_tree(
    codes: np.ndarray, confidence: np.ndarray, known: np.ndarray, cells: Block, voices: FileVoices
) -> dict[str, np.ndarray]:
    """As `_named_in_file`, and the finest label, for labels that lie above one another."""
    assert voices.tree is not None
    label = np.where(known & (codes < len(voices.tree.text.prior)), codes, -1)
    alone = voices.tree.alone(label, confidence, cells.similarity, voices.confidence)
    found, answers = {"known": known}, alone
    if voices.refinement is not None:
        heard = _heard(voices.refinement, cells, known)
        answers = voices.tree.together(heard, cells.similarity, voices.confidence, cells.cells.known)
        found["alone"] = np.where(known, alone.label, codes).astype(np.int32)
    found["codes"] = np.where(known, answers.label, codes).astype(np.int32)
    found["fine"] = np.where(known, answers.fine, codes).astype(np.int32)
    return found | {"confidence": np.where(known, answers.confidence, 0.0).astype(np.float32)}


def _novelty(voices: FileVoices) -> Iterator[np.ndarray]:
    assert voices.novelty is not None
    for cells in voices.file.blocks():
        yield voices.novelty.score(cells.similarity, cells.places, cells.margin).astype(np.float32)


class _Block(NamedTuple):
    """Some cells.

    Attributes:
        known: whether each has a known gene, bool, (cells,).
        scores: (cells, labels); NaN where they were not evaluated.
        probabilities: calibrated ones, (cells, labels); None without a calibration.
    """

    known: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray | None


class _Namer:
    """Names blocks of cells, and keeps the list of all names that occurred."""

    def __init__(self, labels: Sequence[Label], options: NamingOptions) -> None:
        self.labels, self.options = list(labels), options
        self.calibration, self.threshold = confidence_of(options.unknown)
        self.term_ids = {label.name: label.ontology_term_id or "" for label in labels}  # in the order of the codes
        self.term_ids |= {UNKNOWN: ""} if options.unknown is not None else {}
        self.term_ids[UNASSIGNED] = ""
        self.code_of = {name: code for code, name in enumerate(self.term_ids)}

    def read(self, parts: ResultParts) -> Iterator[_Block]:
        """Yield the cells, block by block."""
        if self.calibration is None:
            yield from (_Block(known, scores, None) for known, scores in parts.read("known", "scores"))
            return
        for known, scores, similarity in parts.read("known", "scores", "similarity"):
            yield _Block(known, scores, self.calibration.probabilities(similarity))

    def name(self, block: _Block) -> tuple[np.ndarray, np.ndarray]:
        """Code and confidence of each cell."""
        known, scores, probabilities = block
        if faults := int((known & np.isnan(scores).all(1)).sum()):
            raise ValueError(
                f"The model gives {faults} cells NaN for all labels; try --dtype float32, or other weights."
            )
        codes = np.full(len(scores), self.code_of[UNASSIGNED], dtype=np.int32)
        confidence = np.zeros(len(scores), dtype=np.float32)
        if known.any():
            codes[known] = self._codes(scores[known])
            confidence[known] = (
                np.nanmax(scores[known], axis=1)
                if probabilities is None
                else named_probabilities(probabilities[known], best_labels(scores[known]))
            )
        return codes, confidence

    def rejected(
        self, codes: np.ndarray, confidence: np.ndarray, known: np.ndarray, novelty: np.ndarray | None
    ) -> np.ndarray:
        """Return the codes, with that of "unknown" where a cell is called so.

        Raises:
            ValueError: cells are to be called so by novelty, and there is none.
        """
        if self.options.unknown is None:
            return codes
        if self.options.unknown == AUTO_UNKNOWN:
            if novelty is None:
                raise ValueError(
                    "unknown is 'auto', which needs a model with reference cells; give a confidence from 0 to 1."
                )
            return np.where(known & is_unknown(novelty), self.code_of[UNKNOWN], codes).astype(np.int32)
        # In float32 like the confidence, so that a cell on the line is on the same side of it everywhere.
        below = known & (confidence < np.float32(self.threshold))
        return np.where(below, self.code_of[UNKNOWN], codes).astype(np.int32)

    def _codes(self, scores: np.ndarray) -> np.ndarray:
        if self.options.ontology_backoff is None:
            return np.nanargmax(scores, axis=1)
        names, term_ids = back_off(
            scores, self.labels, margin=self.options.ontology_backoff, ontology=Ontology.cellxgene()
        )
        for name, term_id in zip(names, term_ids, strict=True):
            if name not in self.code_of:
                self.code_of[name] = len(self.term_ids)
                self.term_ids[name] = term_id
        return np.array([self.code_of[name] for name in names])


def _smoothed(blocks: Iterable[_Block], neighbour_space: np.ndarray, strength: float) -> _Block:
    """All cells after smoothing; scores of cells without a known gene are NaN, and they are no one's neighbours."""
    known, scores, *probabilities = (
        np.concatenate(column) for column in zip(*blocks, strict=True) if column[0] is not None
    )

    def smooth(values: np.ndarray) -> np.ndarray:
        found = np.full_like(values, np.nan)
        found[known] = smooth_scores(values[known], neighbour_space[known], strength=strength)
        return found

    return _Block(known, smooth(scores), smooth(probabilities[0]) if probabilities else None)
