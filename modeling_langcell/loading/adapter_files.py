"""An adapter's files: found, checked against the model that it was trained on, and merged into it.

An adapter folder has peft's two files, and beside them the config.json of the fine-tuned model, whose `fine_tuning`
says what the adapter belongs to. `PeftModel.from_pretrained(base, folder)` reads the first two and checks nothing, nor
does peft call anything where a check could stand; here a base with another gene vocabulary or other weights is refused.
"""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from langcell.configuration_langcell import LangCellConfig
from langcell.loading.hub_folders import folder_or_download, named_base
from langcell.loading.model_kinds import find_kind
from langcell.processing.genes import check_same_vocabulary

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, "config.json")


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter on this machine.

    Attributes:
        name: what was asked for: the Hub id or the folder's name.
        folder: with its files.
        config: configuration of the model that base and adapter make together.
        revision: start of the sha256 of the adapter's weights.
    """

    name: str
    folder: Path
    config: LangCellConfig
    revision: str

    @property
    def facts(self) -> dict[str, Any]:
        """What `finetune` wrote down: task, labels, base, options."""
        return self.config.fine_tuning

    @property
    def base(self) -> str:
        """The model that it was trained on, as `--model` takes it: the bundled one, or a Hub id.

        Raises:
            ValueError: that was a folder, which only the user can find.
        """
        return named_base(self.name, self.facts["base"])

    def check_task(self, task: str) -> None:
        """Refuse an adapter for another task.

        Raises:
            ValueError: it is for another one; the text says which command takes it.
        """
        if self.facts["task"] != task:
            takes_it = {"text": "langcell annotate --adapter", "classification": "langcell classify --adapter"}
            other = self.facts["task"]
            raise ValueError(f"The adapter {self.name} is for the task {other!r}; `{takes_it[other]}` takes it.")

    def check_base(self, model_id: str, *, fingerprint: str, weights: str) -> None:
        """Refuse a base that the adapter was not trained on.

        Args:
            model_id: Hub id or name of the base.
            fingerprint: fingerprint of its gene vocabulary.
            weights: start of the sha256 of its weights.

        Raises:
            ValueError: fingerprint or weights are others.
        """
        base = self.facts["base"]
        check_same_vocabulary(
            str(self.config.vocabulary_fingerprint), fingerprint, f"the adapter {self.name}", f"the model {model_id}"
        )
        if base["weights"] and weights and base["weights"] != weights:
            raise ValueError(
                f"The adapter {self.name} was trained on the weights {base['weights']} of {base['model_id']}; "
                f"{model_id} has the weights {weights}. Give that model, or fine-tune this one."
            )


def find_adapter(adapter: str | Path, *, revision: str | None = None) -> AdapterFiles:
    """Read an adapter's facts from a folder or a Hub id.

    Raises:
        ValueError: there is no such adapter, a file is missing, or it is none that `finetune` wrote.
    """
    name = Path(adapter).resolve().name if Path(adapter).is_dir() else str(adapter)
    folder = folder_or_download(adapter, "the adapter", revision=revision, files=_FILES)
    if missing := [file for file in _FILES if not (folder / file).is_file()]:
        if missing == [ADAPTER_CONFIG, ADAPTER_WEIGHTS] and find_kind(folder) is not None:
            raise ValueError(f"{adapter} is a complete model, not an adapter; give it as --model, without --adapter.")
        raise ValueError(f"{adapter} is not a complete adapter: {', '.join(missing)} missing.")
    config = LangCellConfig.from_pretrained(folder)
    if not isinstance(getattr(config, "fine_tuning", None), dict):
        raise ValueError(
            f"{adapter} does not say what it was trained on; give an adapter that `langcell finetune` made."
        )
    digest = hashlib.sha256((folder / ADAPTER_WEIGHTS).read_bytes()).hexdigest()[:12]
    return AdapterFiles(name, folder, config, digest)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Leave out a warning to peft's authors: that an attribute which peft reads has a new name in transformers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def merge_into(model: Any, adapter: AdapterFiles) -> Any:
    """Return a base model (float32) and an adapter as one plain model, whose config is the adapter's; the base is used
    up.

    Raises:
        ValueError: the adapter's files are damaged or do not fit the model.
    """
    from peft import PeftModel

    try:
        with quiet_peft():
            wrapped = PeftModel.from_pretrained(model, str(adapter.folder))
        with safe_open(adapter.folder / ADAPTER_WEIGHTS, framework="pt") as file:
            stored = set(file.keys())
    except Exception as error:  # damaged files raise a dozen types; the user needs to know which adapter it is
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"The adapter {adapter.name} cannot be loaded: {reason}") from error
    if missing := sorted(set(adapter_tensors(wrapped)) - stored):
        # peft would go on with updates that were never trained.
        raise ValueError(f"The adapter {adapter.name} lacks {len(missing)} weights, such as {missing[0]}.")
    merged: Any = wrapped.merge_and_unload()
    for name in ("id2label", "label2id", "fine_tuning"):
        setattr(merged.config, name, getattr(adapter.config, name))
    return merged.eval()


def adapter_tensors(wrapped: Any) -> dict[str, Tensor]:
    """Return the adapter of a PeftModel by the names that its file has."""
    from peft.utils import get_peft_model_state_dict

    # Without being told that no embeddings belong to it, peft asks the Hub for the base's vocabulary size.
    return get_peft_model_state_dict(wrapped, save_embedding_layers=False)
