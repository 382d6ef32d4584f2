"""The labels that a fine-tuned model was taught: taken where none are given, and others told apart from them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langcell.loading.adapter_files import find_adapter
from langcell.loading.load import DEFAULT_MODEL, LoadedLangCell, load_config
from langcell.loading.onnx_model import OnnxLangCell
from langcell.processing.labels.lookup import Label
from langcell.processing.ontology.terms import normalize_name

# Of other labels a line names as many.
_MOST_NAMED = 5


def config_of(model: Any, adapter: str | Path | None = None) -> Any:
    """Return the configuration of a model, or of what an adapter makes of it, without reading weights.

    Args:
        model: folder, Hub id, None for the default, or a loaded model.
        adapter: folder or Hub id.

    Raises:
        ValueError: there is no such model or adapter, or a file is missing or damaged.
    """
    if isinstance(model, LoadedLangCell | OnnxLangCell):
        return model.config
    return load_config(DEFAULT_MODEL if model is None else model) if adapter is None else find_adapter(adapter).config


def fine_tuned_labels(config: Any) -> list[Label]:
    """Return the labels that a model learned to name by their texts, in its order; none where it was not fine-tuned.

    Args:
        config: configuration of the model.
    """
    facts = getattr(config, "fine_tuning", None) or {}
    if facts.get("task") != "text":
        return []
    return [Label(label["name"], label["text"], label["ontology_term_id"], "given") for label in facts["labels"]]


def own_labels(config: Any) -> list[Label]:
    """Return `fine_tuned_labels`, to name cells by.

    Raises:
        ValueError: there are none; the text says how labels are given, or that a classifier is for another command.
    """
    if (getattr(config, "fine_tuning", None) or {}).get("task") == "classification":
        raise ValueError("This model was fine-tuned for classes, not for texts; langcell classify takes it.")
    if not (labels := fine_tuned_labels(config)):
        raise ValueError(
            "There are no labels; give them by exactly one of --labels, --labels-file and --ontology-root, or give a "
            "model or an adapter that was fine-tuned by label texts, whose own are taken."
        )
    return labels


def note_on_others(labels: Sequence[Label], config: Any) -> str | None:
    """Return a line where a fine-tuned model is given labels that it was not taught, which is legal; else None.

    A label is known by its text, which is all that the model reads of it.
    """
    taught = fine_tuned_labels(config)
    texts = {normalize_name(label.text) for label in taught}
    others = [label.name for label in labels if normalize_name(label.text) not in texts]
    if not taught or not others:
        return None
    shown = ", ".join(others[:_MOST_NAMED]) + (", ..." if len(others) > _MOST_NAMED else "")
    return (
        f"The model was fine-tuned on {len(taught)} labels; {len(others)} of the {len(labels)} given are others, which "
        f"it knows by their texts alone: {shown}. Without labels it takes its own."
    )
