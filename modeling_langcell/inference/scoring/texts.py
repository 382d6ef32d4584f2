"""Texts as a loaded model encodes them, and `langcell.embed_texts`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from langcell.encoders_langcell import EncodedTexts
from langcell.inference.running.job import Job, Model
from langcell.loading.load import AUTO_DTYPE
from langcell.loading.loaded import LoadedScorer
from langcell.processing.labels.resolve import Label
from langcell.text_blocks_langcell import encode_texts

_TEXTS_AT_ONCE = 4096  # of any number of texts, the tokens of so many are held


def embed_texts(
    texts: Sequence[str],
    *,
    model: Model | None = None,
    adapter: str | Path | None = None,
    device: str | None = None,
) -> np.ndarray:
    """Embed texts in the space of the cells: the cosine of a cell and a text is the product of their embeddings.

    Texts are read as they are. In training the text of a cell type was "cell type: NAME; DEFINITION", which
    `langcell.processing.labels.resolve_labels` makes of names.

    Args:
        texts: any number of them.
        model: folder, Hub id, "langcell-mini", or what `langcell.load` returned; a folder of `langcell export onnx` or
            an `OnnxLangCell` as well. When None "langcell-mini", or the base that the adapter names.
        adapter: folder or Hub id of what `langcell finetune` made of that model.
        device: "cpu", "cuda", ...; the best one here when None.

    Returns:
        float32, shape (texts, projection_dim), rows of unit length in the order of the texts.

    Raises:
        ValueError: the texts are no list of strings, or the model cannot be used.

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
    job = Job(None, model=model, adapter=adapter, device=device, dtype=AUTO_DTYPE)
    job.check_model()
    loaded, _ = job.load()
    return embed_with(loaded, texts)


def embed_with(loaded: LoadedScorer, texts: Sequence[str]) -> np.ndarray:
    """What `embed_texts` returns, by a loaded model."""
    blocks = [np.empty((0, loaded.config.projection_dim), dtype=np.float32)]
    for begin in range(0, len(texts), _TEXTS_AT_ONCE):
        some = texts[begin : begin + _TEXTS_AT_ONCE]
        blocks.append(encode_texts(loaded.encoders, loaded.processor, some, for_match=False).embeds.cpu().numpy())
    return np.concatenate(blocks)


def encode_label_texts(loaded: LoadedScorer, labels: Sequence[Label]) -> EncodedTexts:
    """The texts of the labels, for similarity and match, encoded in whatever the model computes in."""
    return encode_texts(loaded.encoders, loaded.processor, [label.text for label in labels])
