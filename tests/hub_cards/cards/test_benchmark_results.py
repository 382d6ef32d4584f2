import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard, parse_eval_result_entries
from places import ROOT

from langcell.hub_cards.cards.benchmark_results import write_benchmark_results
from langcell.hub_cards.cards.repository_kinds import MODEL, RESULTS_FOLDER, files_to_publish

BUNDLED = ROOT / "hub_cards" / "langcell-mini"


def result(value: float, metric: str = "accuracy", data: str = "PBMC 3k") -> EvalResult:
    return EvalResult("other", "h5ad", data, metric, value, task_name="zero-shot")


def test_each_data_set_has_a_file_that_the_hub_client_reads(tmp_path):
    paths = write_benchmark_results(tmp_path, [result(0.7), result(0.6, "f1"), result(0.5, data="B 2")], "org/cells")
    assert [path.name for path in paths] == ["b_2.yaml", "pbmc_3k.yaml"]
    entries = parse_eval_result_entries(yaml.safe_load(paths[1].read_text()))
    assert [(entry.task_id, entry.value) for entry in entries] == [
        ("pbmc_3k.zero_shot.accuracy", 0.7),
        ("pbmc_3k.zero_shot.f1", 0.6),
    ]
    assert {entry.dataset_id for entry in entries} == {"org/cells"}


@pytest.mark.parametrize(
    ("results", "benchmark", "message"),
    [([result(0.7), result(0.6)], "org/cells", "Two results are of the task"), ([result(0.7)], "a b/c", "Repo id")],
)
def test_what_cannot_be_told_apart_or_is_no_id_is_refused(tmp_path, results, benchmark, message):
    with pytest.raises(ValueError, match=message):
        write_benchmark_results(tmp_path, results, benchmark)
    assert not (tmp_path / RESULTS_FOLDER).exists()


def test_the_bundled_files_say_what_the_card_says(tmp_path):
    card = ModelCard.load(BUNDLED / "README.md")
    stored = sorted((BUNDLED / RESULTS_FOLDER).glob("*.yaml"))
    benchmark = parse_eval_result_entries(yaml.safe_load(stored[0].read_text()))[0].dataset_id
    written = write_benchmark_results(tmp_path, card.data.eval_results, benchmark)
    assert {path.name: path.read_text() for path in written} == {path.name: path.read_text() for path in stored}


def test_the_files_are_published():
    assert f"{RESULTS_FOLDER}/pbmc3k.yaml" in files_to_publish(BUNDLED, MODEL)
