from dataclasses import replace

import numpy as np
import pytest
from card_facts import FINE_TUNED
from conversion_facts import CONVERSION_FACTS
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from langcell.hub_cards.cards.adapter_cards import fine_tuned_card
from langcell.hub_cards.cards.cards import converted_model_card, model_card
from langcell.hub_cards.cards.measurements import Measurement, all_results, index_entries, measurement_table

ACCURACY = EvalResult("zero-shot-classification", "h5ad", "PBMC 3k", "accuracy", 0.71)
CALIBRATED = EvalResult(
    "tabular-classification", "h5ad", "PBMC 3k", "accuracy", 0.7, task_name="calibration", dataset_revision="c0ffee"
)
FEW_SHOT = replace(CALIBRATED, metric_value=0.8, task_name="few-shot")
LUNG = replace(FEW_SHOT, metric_value=0.9, dataset_name="lung")
MEASURED = [Measurement("one", [CALIBRATED], "| |"), Measurement("two", [FEW_SHOT, LUNG], "| |")]


def _read_back(card: ModelCard, folder) -> list[tuple]:
    card.save(folder / "README.md")
    found = ModelCard.load(folder / "README.md").data.eval_results
    return [(r.task_name, r.dataset_name, r.metric_type, r.metric_value) for r in found]


def test_results_of_all_evaluations_are_joined():
    assert all_results([]) == []
    both = [Measurement("a", [ACCURACY], "| |"), Measurement("b", [ACCURACY, ACCURACY], "| |")]
    assert all_results(both) == [ACCURACY] * 3


def test_measurement_table_prefers_the_readable_name():
    result = EvalResult("zero-shot-classification", "h5ad", "PBMC 3k", "f1", 0.5, metric_name="macro-F1")
    assert "| PBMC 3k | zero-shot-classification | macro-F1 | 0.5 |" in measurement_table([result])


@pytest.mark.parametrize(
    "card",
    [
        pytest.param(lambda: model_card(model_id="x", title="x", summary="x", measurements=MEASURED), id="model"),
        pytest.param(lambda: converted_model_card("x", CONVERSION_FACTS, measurements=MEASURED), id="converted"),
        pytest.param(lambda: fine_tuned_card("x", FINE_TUNED, is_adapter=True, measurements=MEASURED), id="adapter"),
    ],
)
def test_a_card_that_is_read_back_has_each_result_under_its_own_names(card, tmp_path):
    assert _read_back(card(), tmp_path) == [
        ("calibration", "PBMC 3k", "accuracy", 0.7),
        ("few-shot", "PBMC 3k", "accuracy", 0.8),
        ("few-shot", "lung", "accuracy", 0.9),
    ]


def test_the_hub_client_merges_results_without_a_key():
    # Where this fails, the Hub client keeps names, and `index_entries` need no configuration.
    metadata = ModelCardData(model_name="x", eval_results=[CALIBRATED, FEW_SHOT])
    assert len(metadata.to_dict()["model-index"][0]["results"]) == 1


def test_metrics_of_one_task_on_one_data_set_stay_together():
    metadata = ModelCardData(
        model_name="x", eval_results=index_entries([FEW_SHOT, replace(FEW_SHOT, metric_type="f1")])
    )
    (entry,) = metadata.to_dict()["model-index"][0]["results"]
    assert [metric["type"] for metric in entry["metrics"]] == ["accuracy", "f1"]


@pytest.mark.parametrize("number", [np.float64(0.25), np.float32(0.25), np.int64(3)])
def test_numbers_of_numpy_are_written_as_numbers(number, tmp_path):
    card = model_card(model_id="x", title="x", summary="x", results=[replace(FEW_SHOT, metric_value=number)])
    ((*_, value),) = _read_back(card, tmp_path)
    assert value == number
    assert type(value) in (float, int)


def test_what_was_given_is_not_changed_and_entries_are_stable():
    entries = index_entries([FEW_SHOT])
    assert FEW_SHOT.dataset_config is None
    assert index_entries(entries or []) == entries
    assert index_entries([]) is None


def test_two_names_under_one_given_configuration_are_refused():
    given = [replace(FEW_SHOT, dataset_config="test"), replace(LUNG, dataset_config="test")]
    with pytest.raises(ValueError, match=r"under one name: .*give each a dataset_config of its own"):
        index_entries(given)
