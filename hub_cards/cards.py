"""Model cards: a template filled from a dict, and the metadata that the Hub reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

_TEMPLATES = Path(__file__).parent
_TAGS = ["langcell", "single-cell", "transcriptomics", "biology", "zero-shot"]
PUBLISHED_RUN = (
    "langcell evaluate zero-shot PBMC10K.h5ad --model {model} --label-column celltype --labels-file labels.tsv "
    "--alpha 0.1 --expect-accuracy 0.9098 --tolerance 0.005"
)
_CONVERTED_LIMITS = (
    "Human genes only, and only those of Geneformer V1; a Geneformer V2 dictionary names other genes by the same ids.",
    "At most 2,048 ranked genes of a cell and 512 tokens of a text are read.",
    "The scores rank labels; they are no calibrated probabilities, and one of the given labels always wins.",
    "Pre-trained by its authors on 27.5 million human cells of CELLxGENE: a public data set may have been among them.",
    "For research; not for diagnosis.",
)
_RELEASED_LICENCE = (
    "The authors state the MIT licence for LangCell, in the repository of its code, and no separate one for the "
    "weights. What they started from: Geneformer (Apache-2.0) and PubMedBERT (MIT). The code beside them is Apache-2.0."
)


def render_card(template: str, metadata: ModelCardData, values: Mapping[str, Any]) -> ModelCard:
    """Fill a template of this folder.

    Args:
        template: file name, such as "model_card.md".
        metadata: the card's yaml part.
        values: what the template asks for.

    Raises:
        ValueError: the template asks for a value that is not given.
    """
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{fill_template(template, values)}")


def fill_template(template: str, values: Mapping[str, Any]) -> str:
    """The Markdown part of a card; see `render_card`."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML
    )
    environment.filters["code"] = "`{}`".format
    try:
        return environment.get_template(template).render(values)
    except UndefinedError as error:
        raise ValueError(f"The card {template} needs a value that was not given: {error}.") from error


def measurement_table(results: Sequence[EvalResult]) -> str:
    """Measurements as a Markdown table; the same objects make the card's model-index.

    >>> print(measurement_table([EvalResult("zero-shot", "h5ad", "PBMC 3k", "accuracy", 0.7)]))
    | data | metric | value |
    |---|---|---:|
    | PBMC 3k | accuracy | 0.7 |
    """
    rows = (f"| {r.dataset_name} | {r.metric_name or r.metric_type} | {r.metric_value} |" for r in results)
    return "\n".join(["| data | metric | value |", "|---|---|---:|", *rows])


def model_card(
    *,
    model_id: str,
    title: str,
    summary: str,
    making: str,
    limits: Sequence[str],
    license_id: str,
    licence: str,
    results: Sequence[EvalResult],
    base_model: str | list[str] | None = None,
) -> ModelCard:
    """The card of weights that this project trained.

    Args:
        model_id: Hub id, as people will write it.
        title: heading.
        summary: one or two sentences on what these weights are.
        making: data, sources and commands, in Markdown.
        limits: what it cannot do or was not measured on, one sentence each.
        license_id: the Hub's identifier, such as "apache-2.0".
        licence: the licences of weights and sources in words.
        results: what was measured, at least one; also goes into the metadata.
        base_model: Hub ids of pretrained parts.
    """
    if not results:
        raise ValueError("A model card states what was measured; give at least one result.")
    metadata = _metadata(license_id, model_name=title, eval_results=list(results), base_model=base_model)
    values = {"model_id": model_id, "title": title, "summary": summary, "making": making, "limits": limits}
    table = measurement_table(results)
    return render_card(
        "model_card.md", metadata, {**values, "licence": licence, "measured": table, "reads_symbols": True}
    )


def converted_model_card(model_id: str, facts: Mapping[str, Any]) -> ModelCard:
    """The card of a converted checkpoint.

    Args:
        model_id: folder or Hub id, as people will write it.
        facts: what `langcell convert` writes into conversion.json.
    """
    values = {
        "model_id": model_id,
        "title": "LangCell, converted from the released checkpoint",
        "summary": "A checkpoint in the form that LangCell's authors released, as a Hugging Face model.",
        "limits": _CONVERTED_LIMITS,
        "licence": _RELEASED_LICENCE,
        "published_run": PUBLISHED_RUN.format(model=model_id),
        "reads_symbols": facts["has_gene_names"],
        "facts": facts,
    }
    return render_card("converted_model_card.md", _metadata("mit"), values)


def _metadata(license_id: str, **fields: Any) -> ModelCardData:
    return ModelCardData(license=license_id, language="en", library_name="transformers", tags=list(_TAGS), **fields)
