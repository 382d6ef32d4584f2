"""The text tower as an ordinary folder of sentence-transformers, for servers and databases that embed texts.

A LangCell text encoder without a cell is a BERT without token types. The folder holds it as `BertModel` with one token
type of zeros, then pooling, projection and normalization as modules of sentence-transformers. No code of ours is needed
to read it. Its vectors lie in the space of the cells: compare them with obsm `X_langcell` by the dot product.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from langcell.conversion.bert_parts import TEXT_FIELDS
from langcell.inference.scoring.texts import embed_texts
from langcell.loading.load import LoadedLangCell, load
from langcell.processing.files.atomic_output import atomic_output

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TOLERANCE = 1e-5
_CHECKED = ("B cell", "cell type: natural killer cell. a lymphocyte that kills", "interneuron of the retina", "x")


def export_text_tower(model: str | Path, output: str | Path) -> float:
    """Write the text tower of a model as a folder of sentence-transformers.

    The vectors of a few texts are compared with the model's own before the folder appears.

    Args:
        model: folder, Hub id, or "langcell-mini".
        output: folder to write; nothing may be there.

    Returns:
        The largest difference from the model's own vectors, at most 1e-5.

    Raises:
        ValueError: sentence-transformers is missing, `output` exists, the model does not load, or its vectors differ.
        FileNotFoundError: the folder of `output` does not exist.
    """
    try:
        import sentence_transformers  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f'The text tower needs sentence-transformers: pip install "sentence-transformers>=6" ({error}).'
        ) from error
    if Path(output).exists():
        raise ValueError(f"{output} exists already; give a new folder.")
    loaded = load(model, device="cpu", dtype="float32")
    with atomic_output(output) as building:
        tower = _tower(loaded)
        tower.save(str(building), create_model_card=False)
        difference = _difference(building, loaded)
        if not difference <= TOLERANCE:
            raise ValueError(f"The text tower differs from the model by {difference:.1e}; it was not written.")
    return difference


def _tower(loaded: LoadedLangCell) -> "SentenceTransformer":
    """Return BERT, pooling, projection and normalization."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    text_config: Any = loaded.config.text_config
    projection = loaded.model.text_projection
    with TemporaryDirectory(prefix="langcell-") as folder:
        _as_bert(loaded).save_pretrained(folder)
        _plain_tokenizer(loaded).save_pretrained(folder)
        bert = Transformer(folder, max_seq_length=loaded.processor.max_text_length)
    pooling = Pooling(text_config.hidden_size, text_config.pooling)
    dense = Dense(
        projection.in_features,
        projection.out_features,
        bias=projection.bias is not None,
        activation_function=nn.Identity(),
    )
    dense.linear.load_state_dict(projection.state_dict())
    return SentenceTransformer(modules=[bert, pooling, dense, Normalize()], device="cpu")


def _plain_tokenizer(loaded: LoadedLangCell) -> PreTrainedTokenizerFast:
    """Return the tokenizer without the name of our processor, which readers of the folder would look for."""
    ours = loaded.processor.tokenizer
    return PreTrainedTokenizerFast(
        tokenizer_object=ours.backend_tokenizer, model_max_length=ours.model_max_length, **ours.special_tokens_map
    )


def _as_bert(loaded: LoadedLangCell) -> BertModel:
    """Return the text encoder without what reads a cell."""
    text_config: Any = loaded.config.text_config
    config = BertConfig(
        **{name: getattr(text_config, name) for name in ("vocab_size", *TEXT_FIELDS)}, type_vocab_size=1
    )
    bert = BertModel(config, add_pooling_layer=False).eval()
    state = loaded.model.text_encoder.state_dict()
    ours = {name if name.startswith("embeddings.") else f"encoder.{name}": value for name, value in state.items()}
    ours = {name: value for name, value in ours.items() if "crossattention" not in name}
    # A token type that is not in the file would be filled at random by each load.
    ours["embeddings.token_type_embeddings.weight"] = torch.zeros(1, config.hidden_size)
    bert.load_state_dict(ours, strict=True)
    return bert


def _difference(folder: Path, loaded: LoadedLangCell) -> float:
    from sentence_transformers import SentenceTransformer

    found = SentenceTransformer(str(folder), device="cpu").encode(list(_CHECKED))
    return float(np.abs(found - np.asarray(embed_texts(list(_CHECKED), model=loaded))).max())
