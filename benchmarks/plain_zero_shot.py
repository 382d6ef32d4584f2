"""Zero-shot naming as plainly as the released code does it: the reference of `benchmarks/zero_shot.py`.

Cells in the order in which they come, in batches of 32 that are padded to their longest; eager attention; float32; one
label at a time, for which the whole text encoder runs again for every cell, and keys and values of the cell with it.
Written again after the method (Zhao et al. 2024), on the weights of the model that is measured. A batch is computed a
few cells at a time: eager attention over 32 long cells would need ten gigabytes, and the work is the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from langcell.modeling_langcell import LangCellModel

CELLS_PER_BATCH = 32
CELLS_AT_ONCE = 4


@contextmanager
def eager_attention(model: LangCellModel) -> Iterator[None]:
    """Let the model's own layers compute attention as written down, scores of all pairs in memory."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def padded(cells: Sequence[np.ndarray], length: int, pad_id: int = 0) -> tuple[Tensor, Tensor]:
    """Ids and mask of some cells, (cells, length)."""
    ids = torch.full((len(cells), length), pad_id)
    mask = torch.zeros_like(ids)
    for row, cell in enumerate(cells):
        ids[row, : len(cell)] = torch.from_numpy(cell.astype(np.int64))
        mask[row, : len(cell)] = 1
    return ids, mask


@torch.no_grad()
def plain_scores(
    model: LangCellModel,
    cells: Sequence[np.ndarray],
    texts: Sequence[Tensor],
    *,
    alpha: float,
    n_cells: int | None = None,
) -> Tensor:
    """Scores of cells and labels, float32, (cells, labels).

    Args:
        model: in float32 and evaluation mode.
        cells: ids of each cell, `<cls>` first.
        texts: token ids of each label's text, (tokens,).
        alpha: weight of the similarity.
        n_cells: score the first so many of the cells only, padded as if they were scored with the others.
    """
    wanted = cells[:n_cells]
    device = model.device
    with eager_attention(model):
        embeds = [model.text_encoder(text[None].to(device)).last_hidden_state for text in texts]
        text_embeds = torch.cat([model.project_texts(states) for states in embeds])
        scores = []
        for begin in range(0, len(wanted), CELLS_AT_ONCE):
            batch = begin // CELLS_PER_BATCH * CELLS_PER_BATCH
            longest = max(map(len, cells[batch : batch + CELLS_PER_BATCH]))
            ids, mask = (part.to(device) for part in padded(wanted[begin : begin + CELLS_AT_ONCE], longest))
            states = model.cell_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            cell_embeds = model.project_cells(states, mask)
            similarity = cell_embeds @ text_embeds.T / model.config.logit_temperature
            match = torch.stack([_match(model, text.to(device), states, mask) for text in texts], dim=1)
            scores.append(alpha * similarity.softmax(-1) + (1 - alpha) * match.softmax(-1))
    return torch.cat(scores).cpu()


def _match(model: LangCellModel, text: Tensor, cell_states: Tensor, cell_mask: Tensor) -> Tensor:
    """Match probability of one text with each cell of a batch, (cells,)."""
    repeated = text[None].expand(len(cell_states), -1)
    read = model.text_encoder(repeated, torch.ones_like(repeated), cell_states, cell_mask).last_hidden_state
    return model.match_head(read[:, 0]).softmax(-1)[:, 1]
