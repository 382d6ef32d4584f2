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
from langcell.processing.reference_cells import LEAST_CELLS, LabelScale

logger = logging.getLogger("langcell")

_TOKENS_PER_BATCH = 16_384


def is_normalized(loaded: LoadedLangCell) -> bool:
    """Whether the model's similarities are related to reference cells: it has some, and is not fine-tuned.

    A fine-tuned model has learned similarities as they are, among its own labels.
    """
    fine_tuned = getattr(loaded.config, "fine_tuning", None)
    return loaded.processor.feature_extractor.reference_cells is not None and not fine_tuned


def reference_embeddings(loaded: LoadedLangCell, source: CellSource, embed: BatchFunction) -> np.ndarray | None:
    """The reference cells as the model sees them in the genes of a file.

    Args:
        loaded: the model.
        source: the opened data, whose genes count.
        embed: gives the embeddings of a batch.

    Returns:
        float32, shape (reference cells, projection_dim), unit length; None where similarities stay as they are: they
        are not normalised (`is_normalized`), or too few of the cells have any of the file's genes.

    Raises:
        ValueError: none of the file's genes is known.
    """
    extractor = loaded.processor.feature_extractor
    if not is_normalized(loaded):
        return None
    gene_index = extractor.gene_index(source.gene_names, other_columns=source.gene_columns)
    cells = extractor.reference_cells.as_measured(gene_index, extractor.vocabulary, max_length=extractor.max_length)
    if len(cells) < LEAST_CELLS:
        logger.warning("The genes of the data are in %d reference cells: similarities stay as they are.", len(cells))
        return None
    return for_each_batch(loaded, cells, _TOKENS_PER_BATCH, embed)[0]


def scaled_labels(loaded: LoadedLangCell, labels: EncodedLabels, source: CellSource) -> EncodedLabels:
    """Encoded labels whose similarities are related to the reference cells, where these say something.

    Args:
        loaded: the model, in the dtype that it computes cells in.
        labels: encoded by it.
        source: the opened data, whose genes count.
    """
    reference = reference_embeddings(loaded, source, partial(_embed, loaded.model))
    if reference is None:
        return labels
    cells = torch.from_numpy(reference).to(labels.text_embeds.device)
    with torch.inference_mode():
        similarity = labels.similarity(cells, loaded.config.logit_temperature)
    return replace(labels, scale=LabelScale.fitted(similarity))


@torch.inference_mode()
def _embed(model: LangCellModel, cell_input_ids: Tensor, cell_attention_mask: Tensor) -> tuple[Tensor, ...]:
    states = model.get_cell_states(cell_input_ids, cell_attention_mask)
    return (unit_rows(model.project_cells(states, cell_attention_mask)),)
