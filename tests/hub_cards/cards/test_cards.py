import pytest
from conversion_facts import CONVERSION_FACTS
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from langcell.hub_cards.cards.cards import PUBLISHED_RUN, converted_model_card, model_card, render_card
from langcell.hub_cards.cards.measurements import Measurement

ACCURACY = EvalResult("zero-shot-classification", "h5ad", "PBMC 3k", "accuracy", 0.71)


def _trained(**changes) -> ModelCard:
    values = {
        "model_id": "langcell/langcell-mini",
        "title": "LangCell mini",
        "summary": "Small weights.",
        "making": "Trained on simulated cells.",
        "limits": ["Human cells only."],
        "license_id": "apache-2.0",
        "licence": "Apache-2.0.",
        "results": [ACCURACY],
    }
    return model_card(**{**values, **changes})


def test_trained_card_holds_what_was_given_and_its_metadata() -> None:
    card = _trained()
    for text in ("# LangCell mini", "Small weights.", "Trained on simulated cells.", "- Human cells only.", "| 0.71 |"):
        assert text in card.content
    assert 'from_pretrained("langcell/langcell-mini", trust_remote_code=True)' in card.text
    assert card.data.license == "apache-2.0"
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.metric_value) == ("PBMC 3k", 0.71)


def test_card_is_read_back_from_its_file(tmp_path) -> None:
    _trained().save(tmp_path / "README.md")
    assert ModelCard.load(tmp_path / "README.md").data.library_name == "transformers"


def test_what_is_not_given_is_left_out() -> None:
    card = _trained(results=[], license_id=None, licence=None, making=None, limits=[])
    assert not {"license", "model-index", "base_model", "datasets"} & card.data.to_dict().keys()
    for heading in ("## Results", "## Licence", "## How it was made", "## Training data", "## Limits"):
        assert heading not in card.text, heading
    assert "## Intended use" in card.text


def test_measurements_are_shown_per_cell_type_and_stand_in_the_model_index() -> None:
    measured = Measurement(
        "zero-shot on PBMC 3k", [ACCURACY], "| method |\n|---|\n| LangCell |", "| type |\n|---|\n| B |"
    )
    card = _trained(results=[], measurements=[measured], base_model="org/base", datasets=["org/cells"])
    measure = "| PBMC 3k | zero-shot-classification | accuracy | 0.71 |"
    for text in (measure, "### zero-shot on PBMC 3k", "| LangCell |", "| B |"):
        assert text in card.text
    data = card.data.to_dict()
    assert data["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.71
    assert (data["base_model"], data["datasets"]) == ("org/base", ["org/cells"])
    assert data["pipeline_tag"] == "zero-shot-classification"
    converted = converted_model_card("org/x", CONVERSION_FACTS, measurements=[measured])
    assert "### zero-shot on PBMC 3k" in converted.text
    assert "hf download org/x --local-dir download" in converted.text


def test_converted_card_has_hashes_commands_licence_and_the_published_run() -> None:
    card = converted_model_card("langcell-released", CONVERSION_FACTS)
    run = PUBLISHED_RUN.format(model="langcell-released")
    assert run.endswith("--expect-accuracy 0.9098 --tolerance 0.005")
    for text in (
        run,
        "c0ffee",
        CONVERSION_FACTS["command"],
        "langcell verify langcell-released",
        "0.8518",
        "MIT licence",
    ):
        assert text in card.content
    assert card.data.license == "mit"
    assert card.data.eval_results is None  # the published figures were not measured here
    assert "Please note" not in card.content


def test_converted_card_opens_with_the_remarks() -> None:
    card = converted_model_card("x", {**CONVERSION_FACTS, "remarks": ["No row for <cls>."]})
    assert card.text.index("- No row for <cls>.") < card.text.index("## Intended use")


def test_markdown_is_not_escaped() -> None:
    assert "a < b & 'c'" in _trained(summary="a < b & 'c'").text


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"model_card\.md needs a value that was not given: 'title'"):
        render_card("model_card.md", ModelCardData(license="mit"), {})
