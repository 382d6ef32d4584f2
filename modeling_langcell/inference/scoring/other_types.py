"""Types of the reference cells that are not among the candidates: what else a cell could be.

A cell whose similarity to another type of the training is greater than to every candidate fits none of these. Types
above or below a candidate in the Cell Ontology do not count as others: a regulatory T cell is no stranger to "T cell".
So every candidate has to be a term; free text could mean any of the types.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from langcell.inference.scoring.reference import with_reference
from langcell.inference.scoring.texts import embed_with
from langcell.loading.loaded import LoadedScorer
from langcell.processing.labels.resolve import Label
from langcell.processing.ontology.terms import Ontology
from langcell.processing.reference_cells import MeasuredReference
from langcell.scoring_langcell import EncodedLabels

# Fewer types say too little of what else there is.
LEAST_TYPES = 20


def other_types(labels: Sequence[Label], types: Sequence[str]) -> np.ndarray:
    """Return the types that are no candidate, nor above or below one; none where they are too few or cannot be told.

    Args:
        labels: the candidates.
        types: Cell Ontology ids.

    Returns:
        int64, places in `types`, rising.

    >>> cells = [Label("T cell", "T cell", "CL:0000084"), Label("B cell", "B cell", "CL:0000236")]
    >>> others = other_types(cells, ["CL:0000815", "CL:0000542", *["CL:0000182"] * 20])
    >>> others.min(), len(others)  # neither the regulatory T cell nor the lymphocyte, but hepatocytes
    (np.int64(2), 20)
    """
    ontology = Ontology.cellxgene()
    ids = {label.ontology_term_id or "" for label in labels}
    nothing = np.empty(0, dtype=np.int64)
    if not types or any(term_id not in ontology for term_id in ids):
        return nothing
    related = set(ids)
    for term_id in ids:
        related |= ontology.ancestors(term_id) | ontology.descendants(term_id)
    found = np.array([place for place, term_id in enumerate(types) if term_id not in related], dtype=np.int64)
    return found if len(found) >= LEAST_TYPES else nothing


def with_types(
    loaded: LoadedScorer,
    labels: EncodedLabels,
    reference: MeasuredReference | None,
    chosen: np.ndarray,
    known: np.ndarray | None = None,
) -> EncodedLabels | None:
    """Return the labels, followed by types of the reference cells, all on one scale; None where none is chosen.

    Args:
        loaded: the model.
        labels: encoded by it.
        reference: from `measured_reference`.
        chosen: places of the types, as `other_types` returns them.
        known: see `with_reference`.
    """
    if reference is None or not len(chosen):
        return None
    cells = loaded.processor.feature_extractor.reference_cells
    if known is not None and known is cells.embeds:  # the stored ones, which belong to the model: no need to ask again
        stored = cells.text_embeds
    else:
        stored = cells.texts_known_by(loaded.model) if isinstance(loaded.model, nn.Module) else None
    embeds = embed_with(loaded, [cells.texts[place] for place in chosen]) if stored is None else stored[chosen]
    own: Any = labels.texts.embeds
    together = torch.cat([own, torch.from_numpy(embeds).to(own.device, own.dtype)])
    return with_reference(loaded, EncodedLabels(replace(labels.texts, embeds=together, states=None)), reference, known)


def margin(similarity: Tensor, n_labels: int) -> Tensor:
    """Return log of all labels' evidence over that of the types that follow them, shape (cells,).

    Args:
        similarity: similarity of `with_types`, shape (cells, labels and types).
        n_labels: how many are labels.
    """
    return similarity[:, :n_labels].logsumexp(-1) - similarity[:, n_labels:].logsumexp(-1)
