"""The card of a fine-tuned model: an adapter, or weights that are complete in themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from langcell.hub_cards.cards.cards import TEXT_PIPELINE, render_card
from langcell.hub_cards.cards.measurements import Measurement, all_results, index_entries
from langcell.loading.hub_folders import is_hub_id
from langcell.loading.options import BUNDLED_MODEL

HISTORY_FILE = "history.json"
"""Looks at the losses, beside an adapter or a fine-tuned model, so that its card can be filled again."""
CLASSIFICATION_PIPELINE = "tabular-classification"

_TAGS = ("langcell", "single-cell", "transcriptomics", "biology", "cell-annotation")
_OPTIONS = (
    "task", "method", "shots", "seed", "steps", "batch_size", "learning_rate", "weight_decay", "gene_dropout",
    "balance", "patience", "lora_rank", "lora_alpha", "lora_dropout", "strength", "reference",
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
    model_id: str,
    facts: Mapping[str, Any],
    *,
    is_adapter: bool,
    history: Sequence[Mapping[str, float]] = (),
    measurements: Sequence[Measurement] = (),
    license_id: str | None = None,
    licence: str | None = None,
    base_model: str | None = None,
    title: str | None = None,
    summary: str | None = None,
    data: str | None = None,
    limits: Sequence[str] = (),
) -> ModelCard:
    """Return the card of what `langcell finetune` or `langcell merge` wrote.

    Args:
        model_id: folder or Hub id, as people will write it.
        facts: `fine_tuning` of the model's config.
        is_adapter: whether the folder needs its base.
        history: looks at the losses.
        measurements: evaluations; their results go into the metadata.
        license_id: the Hub's identifier, such as "apache-2.0".
        licence: the licences of weights and data in words.
        base_model: Hub id of the base, where it was a folder or the bundled weights when this was trained.
        title: heading; by default base and data.
        summary: a sentence or two; by default what it does, and by how many cells.
        data: more on the training data, in Markdown.
        limits: sentences beside the usual ones.
    """
    is_text, base = facts["task"] == "text", dict(facts["base"])
    if base_model is not None:
        base["model_id"] = base_model
    facts = {**facts, "base": base}
    hub_base = base["model_id"] if is_hub_id(base["model_id"]) else None
    title = title or f"{base['model_id']}, fine-tuned on {facts['data']}"
    results = index_entries(all_results(measurements))
    metadata = ModelCardData(
        language="en",
        license=license_id,
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag=TEXT_PIPELINE if is_text else CLASSIFICATION_PIPELINE,
        model_name=title if results else None,
        eval_results=results,
        base_model=hub_base,
        base_model_relation=(("adapter" if is_adapter else "finetune") if hub_base else None),
        tags=[*_TAGS, *(["lora"] if is_adapter else [])],
    )
    values = {
        "model_id": model_id,
        "title": title,
        "summary": summary or _summary(facts, is_adapter),
        "data": data,
        "commands": _commands(model_id, facts, is_adapter),
        "is_adapter": is_adapter,
        "is_text": is_text,
        "auto_class": "AutoModel" if is_text else "AutoModelForSequenceClassification",
        "base": base,
        "base_place": _place(base["model_id"]),
        "base_is_hub_id": hub_base is not None,
        "is_bundled": base["model_id"] == BUNDLED_MODEL,
        "facts": _without_pipes(facts),
        "options": {
            name: facts[name]
            for name in _OPTIONS
            # Folders of before there were some options do not say them.
            if name in facts and (facts["method"] == "lora" or "lora" not in name)
        },
        "history": [{name: f"{value:.4g}" for name, value in row.items()} for row in history],
        "measured": None,
        "measurements": measurements,
        "licence": licence or (f"`{license_id}`" if license_id else None),
        "limits": (*limits, *_of_one_cell(facts), *(_TEXT_LIMITS if is_text else ()), *_LIMITS),
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
    of_base = "" if base == BUNDLED_MODEL else f"--model {_place(base)} "
    model = f"{of_base}--adapter {model_id}" if is_adapter else f"--model {model_id}"
    if facts["task"] == "text":
        named = f"langcell annotate cells.h5ad -o named.h5ad {model}"
        first = [f"{named}    # by the types below", f'{named} --labels "A,B,..."']
    else:
        first = [f"langcell classify cells.h5ad -o named.h5ad {model}"]
    return [*first, *([f"langcell merge {_place(base)} {model_id} -o MERGED"] if is_adapter else [])]


def _place(base: str) -> str:
    """The base as an option takes it: a folder is known by its name alone, and only the user knows where it is."""
    return base if base == BUNDLED_MODEL or is_hub_id(base) else f"path/to/{base}"


def _of_one_cell(facts: Mapping[str, Any]) -> list[str]:
    single = [label["name"] for label in facts["labels"] if label["cells"] == 1]
    return [f"It saw a single cell of each of these types: {', '.join(single)}."] if single else []


def _without_pipes(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Names as a Markdown table can hold them."""
    labels = [{**label, "name": label["name"].replace("|", "\\|")} for label in facts["labels"]]
    return {**facts, "labels": labels}
