import pytest

from langcell.inference.naming.fitted_labels import difference_of_labels

FITTED = {"labels": ["B cell", "T cell"], "label_texts": ["makes antibodies", "has a receptor"]}


@pytest.mark.parametrize(
    "used",
    [
        pytest.param(FITTED, id="the same"),
        pytest.param(
            {"labels": ["T cell", "B cell"], "label_texts": ["has a receptor", "makes antibodies"]}, id="another order"
        ),
        pytest.param(
            {"labels": ["B cell", "T cell"], "label_texts": ["Makes  antibodies", "has a receptor"]},
            id="case and blanks",
        ),
        pytest.param({"labels": ["T cell", "B cell"]}, id="no texts here"),
        pytest.param({"alpha": 0.1}, id="no labels here"),
    ],
)
def test_labels_that_are_the_same(used):
    assert difference_of_labels(FITTED, used) is None


def test_what_an_older_calibration_does_not_say_is_not_compared():
    assert difference_of_labels({}, FITTED) is None
    assert difference_of_labels({"labels": ["T cell", "B cell"]}, FITTED) is None


@pytest.mark.parametrize(
    ("names", "texts", "difference"),
    [
        pytest.param(["B cell", "T cell", "NK"], ["", "", ""], "without the labels 'NK'", id="more"),
        pytest.param(["B cell", "NK"], ["", ""], "without the labels 'NK'", id="others"),
        pytest.param(["B cell"], [""], "with 2 labels, among them 'T cell', which are not given here", id="fewer"),
        pytest.param(
            ["T cell", "B cell"],
            ["has a receptor", "x" * 80],
            f"with another text for 'B cell', 'makes antibodies'; here it is '{'x' * 56}...",
            id="text",
        ),
    ],
)
def test_the_difference_is_named(names, texts, difference):
    assert difference_of_labels(FITTED, {"labels": names, "label_texts": texts}) == difference


def test_of_many_labels_a_few_are_named():
    used = {"labels": [*FITTED["labels"], *"abcdefgh"]}
    assert difference_of_labels(FITTED, used) == "without the labels 'a', 'b', 'c', 'd', 'e' and 3 more"
