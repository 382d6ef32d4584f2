"""Embeddings of a model's reference cells, to which similarities are related (`processing.reference_cells`)."""

import logging
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from langcell.inference.batching import BatchFunction, for_each_batch
from langcell.inference.zero_shot import EncodedLabels, unit_rows
from langcell.loading import LoadedLangCell
from langcell.modeling_langcell import LangCellModel
from langcell.processing.anndata_io import CellSource
from langcell.processing.rank_values import RankedCells
from langcell.processing.reference_cells import LabelScale

logger = logging.getLogger("langcell")

_TOKENS_PER_BATCH = 16_384


def measured_reference(loaded: LoadedLangCell, source: CellSource) -> RankedCells | None:
    """The reference cells as a file would have shown them; None where similarities stay as they are.

    They do where the model has no reference cells, where it is fine-tuned (it has learned similarities as they are,
    among its own labels), and where too few of the cells have any of the file's genes.

    Args:
        loaded: the model.
        source: the opened data, whose genes count.

    Raises:
        ValueError: none of the file's genes is known.
    """
    extractor = loaded.processor.feature_extractor
    cells_of_all = extractor.reference_cells
    if cells_of_all is None or getattr(loaded.config, "fine_tuning", None):
        return None
    gene_index = extractor.gene_index(source.gene_names, other_columns=source.gene_columns)
    cells = cells_of_all.as_measured(gene_index, extractor.vocabulary, max_length=extractor.max_length)
    if len(cells) < cells_of_all.least:
        logger.warning("The genes of the data are in %d reference cells: similarities stay as they are.", len(cells))
        return None
    return cells


def embed_reference(loaded: LoadedLangCell, cells: RankedCells, embed: BatchFunction) -> np.ndarray:
    """Embeddings of `measured_reference`, float32, unit length, shape (cells, projection_dim).

    Args:
        loaded: the model.
        cells: the reference cells.
        embed: gives the embeddings of a batch.
    """
    return for_each_batch(loaded, cells, _TOKENS_PER_BATCH, embed)[0]


def scaled_labels(loaded: LoadedLangCell, labels: EncodedLabels, reference: RankedCells | None) -> EncodedLabels:
    """Encoded labels whose similarities are related to the reference cells; as they are without these.

    Args:
        loaded: the model, in the dtype that it computes cells in.
        labels: encoded by it.
        reference: from `measured_reference`.
    """
    if reference is None:
        return labels
    embeds = embed_reference(loaded, reference, partial(_embed, loaded.model))
    cells = torch.from_numpy(embeds).to(labels.text_embeds.device)
    with torch.inference_mode():
        similarity = labels.similarity(cells, loaded.config.logit_temperature)
    return replace(labels, scale=LabelScale.fitted(similarity))


@torch.inference_mode()
def _embed(model: LangCellModel, cell_input_ids: Tensor, cell_attention_mask: Tensor) -> tuple[Tensor, ...]:
    states = model.get_cell_states(cell_input_ids, cell_attention_mask)
    return (unit_rows(model.project_cells(states, cell_attention_mask)),)
