"""Texts as a loaded model encodes them, and `langcell.embed_texts`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from langcell.encoders_langcell import EncodedTexts
from langcell.inference.running.job import InferenceJob, dtype_of
from langcell.inference.running.options import ReadingOptions
from langcell.loading.loaded import LoadedScorer
from langcell.loading.options import AdaptedModelOptions
from langcell.processing.labels.resolve import Label
from langcell.processing.options import from_keywords, takes
from langcell.text_blocks_langcell import encode_texts

_TEXTS_AT_ONCE = 4096  # of any number of texts, the tokens of so many are held


@takes(AdaptedModelOptions)
def embed_texts(texts: Sequence[str], *, dtype: str | None = None, **options: Any) -> np.ndarray:
    """Embed texts in the space of the cells: the cosine of a cell and a text is the product of their embeddings.

    Texts are read as they are. In training the text of a cell type was "cell type: NAME; DEFINITION", which
    `langcell.processing.labels.resolve_labels` makes of names.

    Args:
        texts: any number of them.
        dtype: number format to compute in; when None float32, or a loaded model's own.
        {options}

    Returns:
        float32, shape (texts, projection_dim), rows of unit length in the order of the texts.

    Raises:
        ValueError: the texts are no list of strings, or the model cannot be used.
        TypeError: an option that does not exist.

    >>> import langcell
    >>> embeds = langcell.embed_texts(["cell type: b cell; ", "cell type: plasma cell; ", "cell type: neuron; "])
    >>> embeds.shape, embeds.dtype
    ((3, 256), dtype('float32'))
    >>> bool(embeds[0] @ embeds[1] > embeds[0] @ embeds[2])
    True
    """
    if isinstance(texts, str):
        raise ValueError(f"texts is one string; give a list: [{texts[:60]!r}].")
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise ValueError(f"texts holds {type(wrong[0]).__name__} {str(wrong[0])[:60]!r}; give strings.")
    given = {**options, "dtype": dtype or dtype_of(options.get("model"))}
    (model,) = from_keywords(given, AdaptedModelOptions, function="embed_texts")
    job = InferenceJob.of(None, None, model, ReadingOptions())
    job.check_model()
    loaded, torch_dtype = job.load()
    loaded.compute_in(torch_dtype)
    return embed_with(loaded, texts)


def embed_with(loaded: LoadedScorer, texts: Sequence[str]) -> np.ndarray:
    """Return what `embed_texts` returns, by a loaded model."""
    blocks = [np.empty((0, loaded.config.projection_dim), dtype=np.float32)]
    for begin in range(0, len(texts), _TEXTS_AT_ONCE):
        some = texts[begin : begin + _TEXTS_AT_ONCE]
        blocks.append(encode_texts(loaded.encoders, loaded.processor, some, for_match=False).embeds.cpu().numpy())
    return np.concatenate(blocks)


def encode_label_texts(loaded: LoadedScorer, labels: Sequence[Label], *, for_match: bool = True) -> EncodedTexts:
    """Return the texts of the labels, for similarity and match, encoded in whatever the model computes in."""
    return encode_texts(loaded.encoders, loaded.processor, [label.text for label in labels], for_match=for_match)
