"""Model cards: a template filled from a dict, and the metadata that the Hub reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

from langcell.hub_cards.cards.measurements import Measurement, all_results, index_entries, measurement_table

_TEMPLATES = Path(__file__).parent
_TAGS = ["langcell", "single-cell", "transcriptomics", "biology", "zero-shot"]
TEXT_PIPELINE = "zero-shot-classification"
"""The Hub's name of the task that comes closest: cells are classified by labels in words."""
PUBLISHED_RUN = (
    "langcell evaluate zero-shot PBMC10K.h5ad --model {model} --label-column celltype --labels-file labels.tsv "
    "--alpha 0.1 --expect-accuracy 0.9098 --tolerance 0.005"
)
_CONVERTED_LIMITS = (
    "Human genes only, and only those of Geneformer V1; a Geneformer V2 dictionary names other genes by the same ids.",
    "At most 2,048 ranked genes of a cell and 512 tokens of a text are read.",
    "The scores rank labels; they are no calibrated probabilities, and one of the given labels always wins.",
    "A public data set may have been among the cells that it was pre-trained on.",
    "For research; not for diagnosis.",
)
_RELEASED_DATA = (
    "Pre-trained by its authors on 27.5 million human cells of CELLxGENE and the texts of their metadata, as their "
    "paper says; this conversion saw no data."
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
    """Return the Markdown part of a card; see `render_card`."""
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


def model_card(
    *,
    model_id: str,
    title: str,
    summary: str,
    making: str | None = None,
    training_data: str | None = None,
    limits: Sequence[str] = (),
    license_id: str | None = None,
    licence: str | None = None,
    results: Sequence[EvalResult] = (),
    measurements: Sequence[Measurement] = (),
    base_model: str | list[str] | None = None,
    datasets: Sequence[str] = (),
    reads_symbols: bool = True,
) -> ModelCard:
    """Return the card of weights that were pre-trained; what is not given is left out of it.

    Args:
        model_id: Hub id, as people will write it.
        title: heading.
        summary: one or two sentences on what these weights are.
        making: sources and commands, in Markdown.
        training_data: what it was trained on, in Markdown, unless `making` says it.
        limits: what it cannot do or was not measured on, one sentence each.
        license_id: the Hub's identifier, such as "apache-2.0".
        licence: the licences of weights and sources in words.
        results: what was measured; also goes into the metadata.
        measurements: evaluations with tables; their results go into the metadata.
        base_model: Hub ids of pretrained parts.
        datasets: Hub ids of training data.
        reads_symbols: whether its vocabulary knows gene symbols besides Ensembl ids.
    """
    measured = [*results, *all_results(measurements)]
    metadata = _metadata(
        license_id,
        model_name=title if measured else None,
        eval_results=index_entries(measured),
        base_model=base_model,
        datasets=list(datasets) or None,
    )
    values = {
        "model_id": model_id,
        "title": title,
        "summary": summary,
        "making": making,
        "training_data": training_data,
        "limits": limits,
        "licence": licence or _licence_of(license_id),
        "measured": measurement_table(measured) if measured else None,
        "measurements": measurements,
        "reads_symbols": reads_symbols,
    }
    return render_card("model_card.md", metadata, values)


def converted_model_card(
    model_id: str, facts: Mapping[str, Any], *, measurements: Sequence[Measurement] = ()
) -> ModelCard:
    """Return the card of a converted checkpoint.

    Args:
        model_id: folder or Hub id, as people will write it.
        facts: what `langcell convert` writes into conversion.json.
        measurements: evaluations of the converted weights.
    """
    title = "LangCell, converted from the released checkpoint"
    results = index_entries(all_results(measurements))
    values = {
        "model_id": model_id,
        "title": title,
        "summary": "A checkpoint in the form that LangCell's authors released, as a Hugging Face model.",
        "training_data": _RELEASED_DATA,
        "limits": _CONVERTED_LIMITS,
        "licence": _RELEASED_LICENCE,
        "published_run": PUBLISHED_RUN.format(model=model_id),
        "measured": None,
        "measurements": measurements,
        "reads_symbols": facts["has_gene_names"],
        "facts": facts,
    }
    metadata = _metadata("mit", model_name=title if results else None, eval_results=results)
    return render_card("converted_model_card.md", metadata, values)


def _metadata(license_id: str | None, **fields: Any) -> ModelCardData:
    return ModelCardData(
        license=license_id,
        language="en",
        library_name="transformers",
        pipeline_tag=TEXT_PIPELINE,
        tags=list(_TAGS),
        **fields,
    )


def _licence_of(license_id: str | None) -> str | None:
    return f"`{license_id}`" if license_id else None
