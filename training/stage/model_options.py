"""The model that a run starts from, with the options that make it fast or small: attention, compile, checkpointing."""

import importlib.util
import logging
import shutil
from itertools import chain
from pathlib import Path
from typing import Any, cast

from torch import nn

from langcell.loading.hub_folders import folder_or_download
from langcell.loading.model_kinds import quiet_loading
from langcell.modeling_langcell import LangCellForPreTraining
from langcell.training.settings.sections import ModelSection

logger = logging.getLogger("langcell")


def find_start_folder(options: ModelSection) -> Path:
    """Return the folder of the model that a config names, downloaded where it is on the Hub.

    Raises:
        ValueError: there is none.
    """
    try:
        return folder_or_download(options.path, "the LangCell model to start from")
    except ValueError as error:
        raise ValueError(
            f"model.path: {error} Stage 2 starts from the export of stage 1, stage 1 from what "
            "training/start_model.py makes, or for the mini configs training/langcell_mini.py --prepare-only."
        ) from error


def load_start_model(options: ModelSection) -> LangCellForPreTraining:
    """Load the model that a config names and set its options.

    Where it has no masked-gene head, as a converted LangCell, it gets a new one, drawn by torch's seed, and a line in
    the log says so.

    Raises:
        ValueError: there is no LangCell model, it lacks other weights, or an option needs what is not installed.
    """
    if options.attention == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
        raise ValueError(
            "model.attention=flash_attention_2 needs the package flash-attn, which is not installed. "
            "Use model.attention=sdpa, or install it."
        )
    model = _read(options)
    if options.activation_checkpointing:
        # transformers has renamed it; the older name warns where the newer one is there.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        # Not the reentrant kind: a layer under which nothing is trained would get no gradient.
        enable({"use_reentrant": False})
    if options.compile:
        compile_layers(model)
    return model


def _read(options: ModelSection) -> LangCellForPreTraining:
    """Return the model as its files have it.

    Raises:
        ValueError: there is none, or weights are missing for which there are no new ones.
    """
    folder = find_start_folder(options)
    model_class: Any = LangCellForPreTraining  # typed without the report
    try:
        with quiet_loading():
            model, report = model_class.from_pretrained(
                folder, attn_implementation=options.attention, output_loading_info=True
            )
    except OSError as error:
        raise ValueError(
            f"model.path {options.path!r} holds no LangCell model: {str(error).splitlines()[0]}"
        ) from error
    missing = sorted(report["missing_keys"])
    if lost := [name for name in missing if not name.startswith("masked_gene_head.")]:
        raise ValueError(
            f"model.path {options.path!r} lacks {len(lost)} weights, such as {lost[0]}; download or convert it again."
        )
    if missing:
        logger.warning(
            "%s has no masked-gene head (%d weights, such as %s): the run starts with a new one.",
            options.path,
            len(missing),
            missing[0],
        )
    return model


def compile_layers(model: LangCellForPreTraining) -> None:
    """Compile every layer of both encoders in place; names of weights stay what they are.

    Layers, not the whole model: the layers of an encoder share one compiled graph, and what is between them (masks,
    positions of hidden genes) depends on data. Lengths differ from batch to batch, so sizes are symbolic.

    Raises:
        ValueError: there is no C++ compiler, which torch.compile needs.
    """
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++", "cl")):
        raise ValueError("model.compile needs a C++ compiler (g++ or clang++) on the PATH. Install one or turn it off.")
    layers = chain(cast(nn.ModuleList, model.cell_encoder.encoder.layer), model.text_encoder.layer)
    for layer in layers:
        layer.compile(dynamic=True)
