from huggingface_hub import EvalResult

from langcell.hub_cards.cards.measurements import Measurement, all_results, measurement_table

ACCURACY = EvalResult("zero-shot-classification", "h5ad", "PBMC 3k", "accuracy", 0.71)


def test_results_of_all_evaluations_are_joined():
    assert all_results([]) is None
    both = [Measurement("a", [ACCURACY], "| |"), Measurement("b", [ACCURACY, ACCURACY], "| |")]
    assert all_results(both) == [ACCURACY] * 3


def test_measurement_table_prefers_the_readable_name():
    result = EvalResult("zero-shot-classification", "h5ad", "PBMC 3k", "f1", 0.5, metric_name="macro-F1")
    assert "| PBMC 3k | zero-shot-classification | macro-F1 | 0.5 |" in measurement_table([result])
