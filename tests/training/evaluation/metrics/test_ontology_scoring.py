import numpy as np
import pytest

from langcell.processing.labels.resolve import Label, resolve_labels
from langcell.processing.ontology.terms import Ontology
from langcell.training.evaluation.metrics.metrics import OntologyAccuracy, score_predictions
from langcell.training.evaluation.metrics.ontology_scoring import TermDistances, credit_matrix

CHAIN = """format-version: 1.2

[Term]
id: X:0000001
name: root

[Term]
id: X:0000002
name: left
is_a: X:0000001

[Term]
id: X:0000003
name: right
is_a: X:0000001

[Term]
id: X:0000004
name: left leaf
is_a: X:0000002

[Term]
id: X:0000005
name: both
is_a: X:0000003
is_a: X:0000004

[Term]
id: X:0000006
name: elsewhere
"""


@pytest.fixture(scope="module")
def ontology(tmp_path_factory):
    path = tmp_path_factory.mktemp("ontology") / "chain.obo"
    path.write_text(CHAIN)
    return Ontology.from_file(path)


@pytest.mark.parametrize(
    ("first", "second", "steps"),
    [
        pytest.param(2, 2, 0, id="same"),
        pytest.param(2, 1, 1, id="parent"),
        pytest.param(4, 1, 2, id="grandparent"),
        pytest.param(4, 3, 3, id="by_the_root"),
        pytest.param(5, 1, 2, id="the_shorter_of_two_ways"),
        pytest.param(5, 2, 2, id="the_only_way"),
        pytest.param(6, 1, None, id="nothing_in_common"),
    ],
)
def test_distance_is_the_shortest_way_by_a_common_ancestor(ontology, first, second, steps):
    distances = TermDistances(ontology)
    ids = f"X:{first:07d}", f"X:{second:07d}"
    assert distances.between(*ids) == distances.between(*reversed(ids)) == steps


@pytest.mark.parametrize(
    ("truth", "answer", "credit"),
    [
        pytest.param(2, 2, 1.0, id="right"),
        pytest.param(2, 5, 1.0, id="finer_by_two_steps"),
        pytest.param(4, 2, 1 / 2, id="parent"),
        pytest.param(4, 1, 1 / 3, id="grandparent"),
        pytest.param(2, 3, 0.0, id="sibling"),
        pytest.param(6, 1, 0.0, id="unrelated"),
    ],
)
def test_finer_is_right_and_coarser_is_partly_right(ontology, truth, answer, credit):
    assert TermDistances(ontology).credit(f"X:{truth:07d}", f"X:{answer:07d}") == credit


def test_credit_of_cell_ontology_labels_is_strict_without_an_id():
    labels = [*resolve_labels(["T cell", "CL:0000625", "NK cell"]), Label("odd", "odd cells")]
    credit = credit_matrix(labels, Ontology.cellxgene())
    assert credit.shape == (4, 5)
    assert np.diag(credit).tolist() == [1, 1, 1, 1]
    assert credit[0, 1] == 1  # a CD8 T cell is a T cell
    assert 0 < credit[1, 0] < 0.5  # more than one step up
    assert not credit[:, 4].any()
    assert credit[3].tolist() == [0, 0, 0, 1, 0]
    assert credit[0, 2] == credit[2, 0] == 0


def test_the_measure_and_its_spread_follow_the_credit():
    credit = np.array([[1, 0.5, 0], [1, 1, 0]])
    truth, predicted = np.array([0, 0, 1, 1]), np.array([1, 2, 0, 1])
    result = OntologyAccuracy().compute(predictions=predicted, references=truth, credit=credit)
    assert result == {"ontology_accuracy": (0.5 + 0 + 1 + 1) / 4}
    scores = score_predictions(truth, predicted, ["a", "b"], seed=0, credit=credit)
    assert scores["ontology_accuracy"] == 0.625
    rng = np.random.default_rng(0)
    counts = [credit[truth, predicted][rng.integers(0, 4, 4)].mean() for _ in range(2000)]
    assert scores["ontology_accuracy_sd"] == pytest.approx(np.std(counts), rel=0.25)
