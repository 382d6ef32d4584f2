"""Which weights a fine-tuning trains, by low-rank adapters (LoRA, Hu et al. 2022, through peft) or directly.

An adapter has low-rank updates of every linear layer of the cell encoder and, for the task "text", of every
cross-attention of the text encoder, where texts read cells; the heads are trained whole (`modules_to_save`). How the
text encoder reads words stays as it is: a few cells say nothing about language, and label texts are encoded once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import Tensor, nn

from langcell.loading.adapter_files import ADAPTER_WEIGHTS, adapter_tensors, quiet_peft
from langcell.loading.hub_folders import is_hub_id
from langcell.training.fine_tuning.options import TuningOptions

_ATTENTION = r"(self\.(query|key|value)|output\.dense)"
CELL_ENCODER_TARGETS = (
    rf"cell_encoder\.encoder\.layer\.\d+\.(attention\.{_ATTENTION}|intermediate\.dense|output\.dense)"
)
TEXT_ENCODER_TARGETS = rf"text_encoder\.layer\.\d+\.crossattention\.{_ATTENTION}"
# Regular expressions of whole module names, as peft takes them.
TARGETS: dict[str, str] = {
    "text": f"({CELL_ENCODER_TARGETS}|{TEXT_ENCODER_TARGETS})",
    "classification": CELL_ENCODER_TARGETS,
}
HEADS: dict[str, tuple[str, ...]] = {
    "text": ("cell_projection", "text_projection", "match_head"),
    "classification": ("classifier",),
}


@dataclass(frozen=True, eq=False)
class Adapter:
    """A trained adapter, apart from its base.

    Attributes:
        config: peft's.
        tensors: on the CPU, under peft's names.
    """

    config: LoraConfig
    tensors: dict[str, Tensor]

    @classmethod
    def taken_from(cls, model: PeftModel) -> "Adapter":
        """Copy the adapter of a model."""
        config = cast(LoraConfig, model.peft_config["default"])
        config.inference_mode = True
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in adapter_tensors(model).items()}
        return cls(config, tensors)

    def write(self, folder: Path) -> None:
        """Put peft's two files into a folder, from which `PeftModel.from_pretrained(base, folder)` loads."""
        self.config.save_pretrained(str(folder))
        save_file(self.tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})


def mark_trainable(model: nn.Module, options: TuningOptions, *, base: str) -> PeftModel | None:
    """Set which weights of a model are trained; for "lora" also insert the adapter, drawn from torch's generator.

    Args:
        model: a LangCellModel for "text", a LangCellForCellClassification for "classification"; is changed.
        options: method, task and size of the updates.
        base: what the model is called; an adapter's files keep it where it is an id on the Hub, as peft understands it.

    Returns:
        peft's wrapper of the model for "lora", else None.
    """
    task = options.task
    if options.method != "lora":
        for name, weight in model.named_parameters():
            weight.requires_grad_(options.method == "full" or name.partition(".")[0] in HEADS[task])
        return None
    config = LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,  # pyright: ignore[reportArgumentType]  # peft only divides it by the rank
        lora_dropout=options.lora_dropout,
        target_modules=TARGETS[task],
        modules_to_save=list(HEADS[task]),
    )
    with quiet_peft():
        wrapped = cast(PeftModel, get_peft_model(model, config))  # pyright: ignore[reportArgumentType]
    # peft writes down the place that the model was read from, which is this machine's own affair, and takes any other
    # word here for an id on the Hub.
    config.base_model_name_or_path = base if is_hub_id(base) else None
    return wrapped


def count_trainable(model: nn.Module) -> int:
    """Return how many numbers training changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
