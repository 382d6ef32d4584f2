"""The released LangCell checkpoint, five parts on a disk, to a Hub folder and back."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig

from langcell.configuration_langcell import LangCellConfig
from langcell.conversion.bert_parts import (
    CELL_FIELDS,
    TEXT_FIELDS,
    add_cls_row,
    first_cross_attention,
    read_cell_encoder,
    read_text_encoder,
)
from langcell.conversion.tensor_names import LANGCELL_TO_RELEASED, rename, require_all, translate
from langcell.loading.weight_files import Tensors, find_part, read_tensors, require_new_folder
from langcell.modeling_langcell import LangCellModel
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.genes import GeneVocabulary

logger = logging.getLogger(__name__)

# Released code of older transformers asks for this field; newer BertModels know nothing else.
_ABSOLUTE_POSITIONS: dict[str, Any] = {"position_embedding_type": "absolute"}
_ENCODERS = ("cell_bert", "text_bert")
_HEADS = ("cell_proj", "text_proj", "ctm_head")


@dataclass(frozen=True)
class ReleasedCheckpoint:
    """A released checkpoint in LangCell's terms.

    Attributes:
        config: sizes of both encoders and the vocabulary's fingerprint.
        tensors: float32, exactly those of LangCellModel.
        files: the files that were read, by their path below the checkpoint.
        ignored: tensors that LangCell has no use for, by a written-down list (`tensor_names.IGNORABLE`).
        added_cls: the checkpoint had no row for `<cls>`, and a fresh one was added.
    """

    config: LangCellConfig
    tensors: Tensors
    files: Mapping[str, Path]
    ignored: list[str]
    added_cls: bool


def read_released(folder: str | Path, vocabulary: GeneVocabulary, *, seed: int = 0) -> ReleasedCheckpoint:
    """Read the five parts and account for every tensor.

    Args:
        folder: holds `cell_bert/`, `text_bert/` and `cell_proj`, `text_proj`, `ctm_head` (.bin or .safetensors).
        vocabulary: genes of the cell encoder, see `read_geneformer_v1`.
        seed: random seed of the `<cls>` row, where the checkpoint has none.

    Raises:
        ValueError: a part is missing or damaged, the vocabulary is another one, or tensors are unexpected, missing or
            of another shape.
    """
    folder = Path(folder)
    missing = [part for part in _ENCODERS if not (folder / part).is_dir()]
    if missing:
        raise ValueError(
            f"{folder} is no released LangCell: {', '.join(missing)} missing; it has the folders cell_bert and "
            "text_bert and the files cell_proj.bin, text_proj.bin and ctm_head.bin."
        )
    cell, text = read_cell_encoder(folder / "cell_bert"), read_text_encoder(folder / "text_bert")
    added_cls = add_cls_row(cell, vocabulary.n_tokens, seed=seed)
    tensors, files = {**cell.tensors, **text.tensors}, [*cell.files, *text.files]
    ignored, unknown = [*cell.ignored, *text.ignored], [*cell.unknown, *text.unknown]
    for part in _HEADS:
        path = find_part(folder, part)
        renamed = rename(part, read_tensors(path))
        tensors |= {name: tensor.float() for name, tensor in renamed.tensors.items()}
        files.append(path)
        unknown += renamed.unknown
    projection = tensors.get("cell_projection.bias")
    config = LangCellConfig(
        cell_config=cell.config,
        text_config={
            **text.config,
            "cross_attention_start": first_cross_attention(tensors, text.config["num_hidden_layers"]) or 0,
        },
        projection_dim=len(projection) if projection is not None else 256,
        vocabulary_fingerprint=vocabulary.fingerprint,
    )
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in LangCellModel(config).state_dict().items()}
    require_all(tensors, expected, unknown=unknown, what=f"The checkpoint {folder}")
    if ignored:
        logger.info("Left out, no part of LangCell: %s.", ", ".join(ignored))
    by_name = {path.relative_to(folder).as_posix(): path for path in files}
    return ReleasedCheckpoint(config, tensors, by_name, ignored, added_cls)


def build_model(released: ReleasedCheckpoint) -> LangCellModel:
    """Return the model with the checkpoint's weights, in evaluation mode."""
    model = LangCellModel.from_pretrained(None, config=released.config, state_dict=dict(released.tensors))
    return model.eval()


def write_released(model: LangCellModel, folder: str | Path) -> None:
    """Write a model as the released five parts, for code that reads only these.

    Args:
        model: a LangCellModel; a masked-gene head or a classifier has no place in the released form and is left out.
        folder: a new folder.

    Raises:
        ValueError: the folder holds anything, or the model has what the released form cannot express.
    """
    require_new_folder(folder)
    config, text = model.config, model.config.text_config
    if text.pooling != "cls" or text.cross_attention_start:
        raise ValueError(
            f"The released form has pooling 'cls' and cross-attention in every layer; this model has pooling "
            f"{text.pooling!r} and cross-attention from layer {text.cross_attention_start} on."
        )
    parts = to_released_parts(model.state_dict())
    # A buffer of the released text encoder, whose code may load it strictly.
    parts["text_bert"]["embeddings.position_ids"] = torch.arange(text.max_position_embeddings)[None]
    fields = {
        "cell_bert": {name: getattr(config.cell_config, name) for name in (*CELL_FIELDS, "vocab_size")},
        "text_bert": {
            **{name: getattr(text, name) for name in (*TEXT_FIELDS, "vocab_size")},
            "add_cross_attention": True,
            "encoder_width": config.cell_config.hidden_size,
        },
    }
    with atomic_output(folder) as building:
        for part in _ENCODERS:
            (building / part).mkdir(parents=True)
            bert = BertConfig(architectures=["BertModel"], **_ABSOLUTE_POSITIONS, **fields[part])
            bert.save_pretrained(building / part)
            torch.save(parts[part], building / part / "pytorch_model.bin")
        for part in _HEADS:
            torch.save(parts[part], building / f"{part}.bin")


def to_released_parts(tensors: Mapping[str, torch.Tensor]) -> dict[str, Tensors]:
    """Return LangCellModel's tensors by part of the released form, under their names there.

    >>> to_released_parts({"match_head.bias": torch.zeros(2)})["ctm_head"]
    {'bias': tensor([0., 0.])}
    """
    parts: dict[str, Tensors] = {part: {} for part in (*_ENCODERS, *_HEADS)}
    for name, tensor in tensors.items():
        theirs = translate(name, LANGCELL_TO_RELEASED)
        if theirs is None:
            logger.info("Left out, no place in the released form: %s.", name)
            continue
        part, _, short = theirs.partition("/")
        parts[part][short] = tensor.detach().cpu().contiguous()
    return parts
