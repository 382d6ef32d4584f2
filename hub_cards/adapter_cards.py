"""The card of a fine-tuned model: an adapter, or weights that are complete in themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from langcell.hub_cards.cards import render_card

_TAGS = ("langcell", "single-cell", "transcriptomics", "biology", "cell-annotation")
_OPTIONS = (
    "task", "method", "shots", "seed", "steps", "batch_size", "learning_rate", "weight_decay", "gene_dropout",
    "balance", "patience", "lora_rank", "lora_alpha", "lora_dropout",
)  # fmt: skip
_TEXT_LIMITS = (
    "Other labels than those in the table can be given, but it was trained to tell those in the table apart.",
    "The masked-gene head of pre-training is not part of it: the cell encoder has changed.",
)
_LIMITS = (
    "Learned from one data set: cells of another tissue, protocol or species were not seen.",
    "Scores rank the types; the confidence is no calibrated probability, and one of the types always wins.",
    "For research; not for diagnosis.",
)


def fine_tuned_card(
    model_id: str, facts: Mapping[str, Any], *, is_adapter: bool, history: Sequence[Mapping[str, float]] = ()
) -> ModelCard:
    """The card of what `langcell finetune` or `langcell merge` wrote.

    Args:
        model_id: folder or Hub id, as people will write it.
        facts: `fine_tuning` of the model's config.
        is_adapter: whether the folder needs its base.
        history: looks at the losses.
    """
    base, is_text = facts["base"], facts["task"] == "text"
    hub_base = base["model_id"] if base["model_id"].count("/") == 1 and "+" not in base["model_id"] else None
    metadata = ModelCardData(
        language="en",
        library_name="peft" if is_adapter else "transformers",
        base_model=hub_base,
        base_model_relation=(("adapter" if is_adapter else "finetune") if hub_base else None),
        tags=[*_TAGS, *(["lora"] if is_adapter else [])],
    )
    values = {
        "model_id": model_id,
        "title": f"{base['model_id']}, fine-tuned on {facts['data']}",
        "summary": _summary(facts, is_adapter),
        "commands": _commands(model_id, facts, is_adapter),
        "is_adapter": is_adapter,
        "is_text": is_text,
        "auto_class": "AutoModel" if is_text else "AutoModelForSequenceClassification",
        "base": base,
        "facts": _without_pipes(facts),
        "options": {name: facts[name] for name in _OPTIONS if facts["method"] == "lora" or "lora" not in name},
        "history": [{name: f"{value:.4g}" for name, value in row.items()} for row in history],
        "limits": (*(_TEXT_LIMITS if is_text else ()), *_LIMITS),
    }
    return render_card("adapter_card.md", metadata, values)


def _summary(facts: Mapping[str, Any], is_adapter: bool) -> str:
    what = f"A LoRA adapter for {facts['base']['model_id']}" if is_adapter else "A LangCell model"
    names = "by the texts of" if facts["task"] == "text" else "as one of"
    return (
        f"{what} that names cells {names} {len(facts['labels'])} types, learned from {facts['cells']} labelled cells."
    )


def _commands(model_id: str, facts: Mapping[str, Any], is_adapter: bool) -> list[str]:
    base = facts["base"]["model_id"]
    model = f"--model {base} --adapter {model_id}" if is_adapter else f"--model {model_id}"
    if facts["task"] == "text":
        first = f'langcell annotate cells.h5ad -o named.h5ad {model} --labels "A,B,..."'
    else:
        first = f"langcell classify cells.h5ad -o named.h5ad {model}"
    return [first, *([f"langcell merge {base} {model_id} -o MERGED"] if is_adapter else [])]


def _without_pipes(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Names as a Markdown table can hold them."""
    labels = [{**label, "name": label["name"].replace("|", "\\|")} for label in facts["labels"]]
    return {**facts, "labels": labels}
