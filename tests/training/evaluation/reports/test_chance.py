import pytest

from langcell.training.evaluation.reports.chance import chance_section, comparisons, facts

LABELS = [{"name": "a", "support": 60}, {"name": "b", "support": 30}, {"name": "c", "support": 10}]


def naming(accuracy, sd, *, labels=LABELS, task="disease"):
    methods = {"LangCell": {"accuracy": accuracy, "accuracy_sd": sd}, "majority class": {"accuracy": 0.6}}
    return {"task": task, "labels": labels, "methods": methods}


@pytest.mark.parametrize(
    ("report", "said"),
    [
        pytest.param(naming(0.7, 0.02), None, id="better"),
        pytest.param(naming(0.4, 0.02), "accuracy 0.4000 ± 0.0200 is worse than 0.6000", id="worse"),
        pytest.param(naming(0.61, 0.02), "accuracy 0.6100 ± 0.0200 is no better than 0.6000", id="within_the_spread"),
        pytest.param(naming(0.61, None), None, id="one_repeat"),
        pytest.param(naming(0.6, None), "accuracy 0.6000 is no better than 0.6000", id="equal"),
    ],
)
def test_what_is_not_better_than_the_most_frequent_type_is_said(report, said):
    section = chance_section(report["task"], comparisons(report))
    if said is None:
        assert section is None
    else:
        assert section.title == "Not better than chance"
        assert said in section.text
        assert section.text.endswith("which is what comes of naming every cell 'a', the most frequent.")
    assert facts(comparisons(report))[0]["better_than_chance"] is (said is None)


def test_with_types_of_one_size_chance_is_a_guess():
    labels = [{"name": name, "support": 10} for name in "ab"]
    text = chance_section("zero-shot", comparisons(naming(0.5, 0.01, labels=labels, task="zero-shot"))).text
    assert text.startswith("LangCell: accuracy 0.5000 ± 0.0100 is no better than 0.5000, ")
    assert text.endswith("which is what comes of a guess among the 2 labels.")


def test_other_tasks_have_the_chance_of_their_measures():
    novel = {"seen": 0.9, "unseen": 0.2, "unknown_auroc": 0.7, "unknown_auroc_sd": 0.3}
    found = comparisons({"task": "novel-types", "labels": LABELS, "methods": {"with text": novel, "other": {}}})
    assert [one.is_better for one in found] == [True, False, False]
    pathways = comparisons({"task": "pathways", "methods": {"LangCell": {"auroc": 0.68, "auroc_sd": 0.01}}})
    assert [(one.chance, one.is_better) for one in pathways] == [(0.5, True)]
    rows = {
        f"{way}, name only": {"recall_at_1": 0.2, "recall_at_1_sd": 0.01} for way in ("cell to text", "text to cell")
    }
    report = {"task": "retrieval", "n_candidates": 100, "queries": {"texts": 4}, "methods": rows}
    assert [(one.chance, one.is_better) for one in comparisons(report)] == [(0.01, True), (0.25, False)]
    assert comparisons({"task": "integration", "methods": {"LangCell": {"overall": 0.1}}}) == []
    assert chance_section("integration", []) is None
