"""Which genes make one cell similar to its label: each gene is left out in turn, and the similarity is found again.

The drop is exact: the cell without a gene is read as if the gene had not been counted in it, by the encoder and by the
comparison with the reference cells. At most 256 genes are left out, those of highest rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from langcell.inference.evidence.options import EvidenceOptions
from langcell.inference.running.batching import for_each_batch
from langcell.inference.running.job import InferenceJob
from langcell.inference.running.memory import find_max_batch_tokens
from langcell.inference.scoring.reference import measured_reference, with_reference
from langcell.inference.scoring.texts import encode_label_texts
from langcell.loading.loaded import LoadedScorer
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.cells.gene_index import gene_index_of
from langcell.processing.labels.lookup import Label, look_up
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.terms import Ontology, normalize_name
from langcell.processing.rank_values import rank_encode
from langcell.processing.reference_cells import MeasuredReference, ReferenceCells
from langcell.scoring_langcell import EncodedLabels

MOST_OCCLUDED = 256


@dataclass(frozen=True)
class OccludedGene:
    """One gene of the cell.

    Attributes:
        gene: its symbol.
        place: its rank in the cell, 1 for the first.
        drop: similarity to the label with all genes, less that without this one; above 0 where it speaks for the label.
        drop_against: the same for the other label.
    """

    gene: str
    place: int
    drop: float
    drop_against: float

    @property
    def margin(self) -> float:
        """What the gene adds to the distance of the two labels."""
        return self.drop - self.drop_against


@dataclass(frozen=True)
class CellExplanation:
    """What each gene of one cell says of its label.

    Attributes:
        cell: its name.
        row: its row in the file.
        label: what it is called.
        against: the label that is the next most similar, or the one that was asked for.
        similarity, similarity_against: cos / temperature with all genes, as naming finds it.
        genes: in the order of their ranks.
        notes: what a reader should know, a line each.
    """

    cell: str
    row: int
    label: str
    against: str
    similarity: float
    similarity_against: float
    genes: tuple[OccludedGene, ...]
    notes: tuple[str, ...] = field(default=())

    def frame(self) -> pd.DataFrame:
        """Return one row per gene, those that change the distance of the two labels most first."""
        rows = [{**asdict(gene), "margin": gene.margin} for gene in self.genes]
        table = pd.DataFrame(rows, columns=pd.Index(["gene", "place", "drop", "drop_against", "margin"]))
        order = np.argsort(-table["margin"].abs().to_numpy(), kind="stable")
        table = table.iloc[order].reset_index(drop=True)
        for place, (name, value) in enumerate((("cell", self.cell), ("label", self.label), ("against", self.against))):
            table.insert(place, name, value)
        return table

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return asdict(self)


def explain_cell(
    job: InferenceJob, source: CellSource, asked: EvidenceOptions, settings: Mapping[str, Any]
) -> CellExplanation:
    """Leave each gene of a cell out in turn.

    Args:
        job: names the model.
        source: the opened data.
        asked: names the cell, and may name its label and another.
        settings: uns["langcell"] of the file.

    Raises:
        ValueError: no such cell or label, a cell without a known gene, or fewer than two labels.
    """
    ontology = Ontology.cellxgene()
    row, cell = find_cell(source, str(asked.cell))
    own = asked.label or _stored_label(source, asked.label_column, row)
    labels = _labels(source, asked, settings, ontology, own)
    loaded, dtype = job.load()
    extractor = loaded.processor.feature_extractor
    measured = measured_reference(loaded, source)
    texts = encode_label_texts(loaded, labels)
    loaded.compute_in(dtype)
    encoded = with_reference(loaded, EncodedLabels(texts.in_dtype(dtype)), measured)
    counts = next(source.chunks(1, start=row, stop=row + 1)).counts
    longest = max(extractor.max_length, ReferenceCells.genes_read) + 1  # one more moves in where one is left out
    encoded_cell = rank_encode(counts, gene_index_of(source, extractor), extractor.vocabulary, max_length=longest)
    ranked, n_genes = encoded_cell[0], int(encoded_cell.n_known_genes[0])
    if not n_genes:
        raise ValueError(f"Cell {cell!r} has no known gene; there is nothing to leave out.")
    n_read = min(n_genes, extractor.max_length - 1)
    n_occluded = min(n_read, MOST_OCCLUDED)
    similarity = _similarities(loaded, encoded, ranked, n_occluded, measured)
    order = np.argsort(-similarity[0], kind="stable")
    place = _place_of(labels, own, ontology) if own else int(order[0])
    other = _place_of(labels, asked.against, ontology) if asked.against else int(order[order != place][0])
    if place == other:
        raise ValueError(f"{asked.against!r} is the label itself; give another.")
    drops = similarity[0] - similarity[1:]
    symbols = extractor.vocabulary.symbols
    first = extractor.vocabulary.first_gene_token_id
    genes = tuple(
        OccludedGene(
            symbols[int(token) - first] or extractor.vocabulary.gene_ids[int(token) - first],
            i + 1,
            round(float(drops[i, place]), 5),
            round(float(drops[i, other]), 5),
        )
        for i, token in enumerate(ranked[1 : n_occluded + 1])
    )
    notes = []
    if n_occluded < n_genes:
        notes.append(f"{n_occluded} of the cell's {n_genes} known genes were left out in turn, those of highest rank.")
    return CellExplanation(
        cell,
        row,
        labels[place].name,
        labels[other].name,
        round(float(similarity[0, place]), 5),
        round(float(similarity[0, other]), 5),
        genes,
        tuple(notes),
    )


def find_cell(source: CellSource, cell: str) -> tuple[int, str]:
    """Return the row and the name of a cell, by its name, else by its row.

    Raises:
        ValueError: there is no such cell, or several have the name.
    """
    names = source.obs_names.astype(str)
    rows = np.flatnonzero(names == cell)
    if len(rows) > 1:
        raise ValueError(f"{len(rows)} cells are called {cell!r} (rows {rows[:5].tolist()}); give a row.")
    if len(rows):
        return int(rows[0]), cell
    if cell.isdecimal() and int(cell) < len(names):
        return int(cell), str(names[int(cell)])
    raise ValueError(f"No cell is called {cell!r}; give a name in obs_names, or a row from 0 to {len(names) - 1}.")


def without_each(ids: np.ndarray, n: int) -> list[np.ndarray]:
    """Return the whole list, then the list without its first gene, without its second, ...; `<cls>` stays first.

    Args:
        ids: token ids of a cell, `<cls>` first.
        n: genes that are left out in turn.

    >>> [ids.tolist() for ids in without_each(np.array([9, 4, 7]), 2)]
    [[9, 4, 7], [9, 7], [9, 4]]
    """
    return [ids, *(np.delete(ids, place) for place in range(1, n + 1))]


def _similarities(
    loaded: LoadedScorer, encoded: EncodedLabels, ids: np.ndarray, n: int, measured: MeasuredReference | None
) -> np.ndarray:
    """Similarity of the cell, and of the cell without each gene, to each label: float32, shape (1 + n, labels)."""
    lists = without_each(ids, n)
    weights = None if measured is None else measured.weights([one[: ReferenceCells.genes_read] for one in lists])
    read = [one[: loaded.processor.feature_extractor.max_length] for one in lists]
    temperature = loaded.config.logit_temperature

    @torch.inference_mode()
    def similarity(ids: Tensor, mask: Tensor, weights: Tensor | None = None) -> tuple[Tensor, ...]:
        embeds = loaded.encoders.encode_cells(ids, mask, for_match=False).embeds
        return (encoded.similarity(embeds, temperature, weights),)

    (found,) = for_each_batch(loaded, read, find_max_batch_tokens(loaded.model), similarity, weights)
    return found


def _stored_label(source: CellSource, column: str, row: int) -> str | None:
    if column not in source.obs_columns:
        return None
    value = source.metadata([column], row, row + 1)[column].iloc[0]
    return None if pd.isna(value) or str(value) in ("unknown", "unassigned") else str(value)


def _labels(
    source: CellSource,
    asked: EvidenceOptions,
    settings: Mapping[str, Any],
    ontology: Ontology,
    own: str | None,
) -> list[Label]:
    """Return the labels that the cell was named with, else those of the column, and those that were asked for."""
    texts = settings.get("label_texts", [])
    found = [
        Label(str(name), str(text), match="given")
        for name, text in zip(settings.get("labels", []), texts, strict=False)
    ]
    names: list[str] = []
    if not found and asked.label_column in source.obs_columns:
        column = source.metadata([asked.label_column], 0, source.n_cells)[asked.label_column]
        names = sorted({str(value) for value in column[column.notna()]} - {"unknown", "unassigned"})
    for name in [*names, *([own] if own else []), *([asked.against] if asked.against else [])]:
        label = look_up(LabelEntry(name), ontology)
        known = {normalize_name(one.name) for one in found} | {normalize_name(one.text) for one in found}
        if not {normalize_name(label.name), normalize_name(label.text)} & known:
            found.append(label)
    if len(found) < 2:
        raise ValueError("A cell is explained between two labels at least; give --label and --against.")
    return found


def _place_of(labels: Sequence[Label], name: str, ontology: Ontology) -> int:
    text = look_up(LabelEntry(name), ontology).text
    for form in (lambda one: normalize_name(one.name) == normalize_name(name), lambda one: one.text == text):
        if places := [place for place, one in enumerate(labels) if form(one)]:
            return places[0]
    listed = ", ".join(label.name for label in labels[:20])
    raise ValueError(f"{name!r} is none of the labels of the cell; they are {listed}.")
