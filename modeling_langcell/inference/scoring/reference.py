"""What a model makes of its reference cells, with which other cells are compared (`processing.reference_cells`)."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from langcell.encoders_langcell import Encoders
from langcell.inference.running.batching import for_each_batch
from langcell.inference.scoring.texts import embed_with
from langcell.loading.loaded import LoadedScorer
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.cells.gene_index import gene_index_of
from langcell.processing.reference_cells import MeasuredReference
from langcell.scoring_langcell import EncodedLabels, reference_as_measured

_TOKENS_PER_BATCH = 4096  # of cells alone; more is slower on CPUs


def measured_reference(loaded: LoadedScorer, source: CellSource) -> MeasuredReference | None:
    """Return the reference cells as a file would have shown them; None where cells are not compared with them.

    Args:
        loaded: the model.
        source: the opened data, whose genes count.

    Raises:
        ValueError: none of the file's genes is known.
    """
    extractor = loaded.processor.feature_extractor
    if extractor.reference_cells is None:
        return None
    return reference_as_measured(loaded.processor, loaded.config, gene_index_of(source, extractor))


def known_reference(loaded: LoadedScorer) -> np.ndarray:
    """Return what a model knows of all its reference cells, float32, unit length, shape (reference cells,
    projection_dim).

    As stored in its folder, or found now where its weights are others. Of these few cells, the encoder reads as many
    genes as it has positions for, however many it reads of others.
    """
    extractor = loaded.processor.feature_extractor
    cells = extractor.reference_cells
    assert cells is not None
    stored = cells.known_by(loaded.model) if isinstance(loaded.model, nn.Module) else None
    if stored is not None:
        return stored
    lists = cells.in_all_genes(extractor.vocabulary, max_length=loaded.config.cell_config.max_position_embeddings)
    (of_cells,) = for_each_batch(loaded, lists, _TOKENS_PER_BATCH, partial(embed_batch, loaded.encoders))
    return cells.known(of_cells, embed_with(loaded, cells.texts))


def with_reference(
    loaded: LoadedScorer,
    labels: EncodedLabels,
    reference: MeasuredReference | None,
    known: np.ndarray | None = None,
) -> EncodedLabels:
    """Return the encoded labels whose similarities are found with the reference cells; as they are without these.

    Args:
        loaded: the model, in the dtype that it computes cells in.
        labels: encoded by it.
        reference: from `measured_reference`.
        known: from `known_reference`, where it is at hand; found when None.
    """
    if reference is None:
        return labels
    found: Any = torch.from_numpy(known_reference(loaded) if known is None else known)
    return labels.related_to(reference, found, loaded.config.logit_temperature)


@torch.inference_mode()
def embed_batch(encoders: Encoders, cell_input_ids: Tensor, cell_attention_mask: Tensor) -> tuple[Tensor, ...]:
    """Return the embeddings of a batch of cells, as a `BatchFunction`."""
    return (encoders.encode_cells(cell_input_ids, cell_attention_mask, for_match=False).embeds,)
