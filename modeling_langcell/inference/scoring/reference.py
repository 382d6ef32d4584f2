"""What a model makes of its reference cells, with which other cells are compared (`processing.reference_cells`)."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from langcell.inference.running.batching import BatchFunction, for_each_batch
from langcell.inference.scoring.text_blocks import encode_texts
from langcell.inference.scoring.zero_shot import EncodedLabels, unit_rows
from langcell.loading.load import LoadedLangCell
from langcell.modeling_langcell import LangCellModel
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.reference_cells import MeasuredReference

logger = logging.getLogger("langcell")

_TOKENS_PER_BATCH = 4096  # of cells alone; more is slower on CPUs


def measured_reference(loaded: LoadedLangCell, source: CellSource) -> MeasuredReference | None:
    """The reference cells as a file would have shown them; None where cells are not compared with them.

    They are not where the model has none, where it is fine-tuned on other labels than cell types (`finetune` notes
    which), and where too few of the reference cells have any of the file's genes.

    Args:
        loaded: the model.
        source: the opened data, whose genes count.

    Raises:
        ValueError: none of the file's genes is known.
    """
    extractor = loaded.processor.feature_extractor
    cells_of_all = extractor.reference_cells
    fine_tuning = getattr(loaded.config, "fine_tuning", None)
    if cells_of_all is None or (fine_tuning and not fine_tuning.get("reference")):
        return None
    gene_index = extractor.gene_index(source.gene_names, other_columns=source.gene_columns)
    cells = cells_of_all.as_measured(gene_index, extractor.vocabulary)
    if len(cells) < cells_of_all.least:
        logger.warning("The genes of the data are in %d reference cells: cells are named without these.", len(cells))
        return None
    return cells


def embed_reference(
    loaded: LoadedLangCell, embed: BatchFunction, embed_texts: Callable[[Sequence[str]], np.ndarray]
) -> np.ndarray:
    """What a model knows of all its reference cells, float32, unit length, shape (reference cells, projection_dim).

    Args:
        loaded: the model; its processor, configuration, dtype and device are asked for.
        embed: gives the embeddings of a batch of cells.
        embed_texts: gives those of texts, of unit length.
    """
    extractor = loaded.processor.feature_extractor
    cells = extractor.reference_cells
    assert cells is not None
    lists = cells.in_all_genes(extractor.vocabulary, max_length=extractor.max_length)
    of_cells = for_each_batch(loaded, lists, _TOKENS_PER_BATCH, embed)[0]
    return cells.known(of_cells, embed_texts(cells.texts))


def known_reference(loaded: LoadedLangCell) -> np.ndarray:
    """`embed_reference` by a torch model: as stored in its folder, or found now where its weights are others."""
    cells = loaded.processor.feature_extractor.reference_cells
    assert cells is not None
    stored = cells.known_by(loaded.model)
    if stored is not None:
        return stored
    return embed_reference(loaded, partial(_embed, loaded.model), partial(_embed_texts, loaded))


def with_reference(loaded: LoadedLangCell, labels: EncodedLabels, reference: MeasuredReference | None) -> EncodedLabels:
    """Encoded labels whose similarities are found with the reference cells; as they are without these.

    Args:
        loaded: the model, in the dtype that it computes cells in.
        labels: encoded by it.
        reference: from `measured_reference`.
    """
    if reference is None:
        return labels
    known = torch.from_numpy(known_reference(loaded)[reference.rows]).to(labels.text_embeds.device)
    with torch.inference_mode():
        similarity = labels.similarity(known, loaded.config.logit_temperature)
        return replace(labels, reference=known, scale=reference.scale(similarity))


@torch.inference_mode()
def _embed(model: LangCellModel, cell_input_ids: Tensor, cell_attention_mask: Tensor) -> tuple[Tensor, ...]:
    states = model.get_cell_states(cell_input_ids, cell_attention_mask)
    return (unit_rows(model.project_cells(states, cell_attention_mask)),)


@torch.inference_mode()
def _embed_texts(loaded: LoadedLangCell, texts: Sequence[str]) -> np.ndarray:
    tokens = loaded.processor(text=list(texts), return_tensors="pt").to(loaded.model.device)
    return unit_rows(encode_texts(loaded.model, tokens["input_ids"], tokens["attention_mask"])[0]).cpu().numpy()
