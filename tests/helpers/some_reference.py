"""A few of a model's reference cells: an encoder reads hundreds of them for seconds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from langcell.processing.reference_cells import ReferenceCells


def reference_of(cells: ReferenceCells, types: Sequence[str]) -> ReferenceCells:
    """Return the reference cells of some types, with what is stored of them, in their order."""
    texts = [text for text, type_id in enumerate(cells.types) if type_id in types]
    rows = np.flatnonzero(np.isin(cells.text_of, texts))
    lists = [cells.ids_of(row) for row in rows]
    return replace(
        cells,
        token_ids=np.concatenate(lists),
        offsets=np.cumsum([0, *map(len, lists)]),
        texts=tuple(cells.texts[text] for text in texts),
        text_of=np.searchsorted(texts, cells.text_of[rows]),
        types=tuple(cells.types[text] for text in texts),
        names=tuple(cells.names[row] for row in rows),
        embeds=None if cells.embeds is None else cells.embeds[rows],
        text_embeds=None if cells.text_embeds is None else cells.text_embeds[texts],
    )
