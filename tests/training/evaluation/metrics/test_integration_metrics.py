import sys

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

from langcell.training.evaluation.metrics import integration_metrics
from langcell.training.evaluation.metrics.integration_metrics import BatchMixing, Biology, import_scib_metrics, overall

# jax compiles for a while, and jax, numba and igraph say how they work.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def blobs():
    """Ninety points in three clusters of two batches; in the last, batches lie apart."""
    rng = np.random.default_rng(0)
    types, batches = np.repeat([0, 1, 2], 30), np.tile([0, 1], 45)
    points = rng.normal(size=(90, 5)) + 8 * np.eye(3, 5)[types]
    points[types == 2] += 6 * batches[types == 2, None] * np.eye(1, 5, 4)
    return points.astype(np.float32), types, batches


@pytest.fixture(scope="module")
def found(blobs):
    points, types, batches = blobs
    columns = {"predictions": points, "references": types, "batches": batches}
    return Biology().compute(**columns), BatchMixing().compute(**columns)


def test_measures_agree_with_scib_metrics(blobs, found):
    scib_metrics = pytest.importorskip("scib_metrics")
    points, types, batches = blobs
    biology, mixing = found
    graph = integration_metrics.neighbours(points)
    clusters = scib_metrics.nmi_ari_cluster_labels_leiden(graph, types, seed=0)
    assert (biology["nmi"], biology["ari"]) == pytest.approx((clusters["nmi"], clusters["ari"]))
    assert biology["silhouette_label"] == pytest.approx(float(scib_metrics.silhouette_label(points, types)))
    expected = float(scib_metrics.silhouette_batch(points, types, batches))
    assert mixing["silhouette_batch"] == pytest.approx(expected)
    assert mixing["graph_connectivity"] == pytest.approx(scib_metrics.graph_connectivity(graph, types))


def test_silhouette_and_clusters_agree_with_scikit_learn(blobs, found):
    points, types, batches = blobs
    biology, _ = found
    assert biology["silhouette_label"] == pytest.approx((silhouette_score(points, types) + 1) / 2, abs=1e-4)
    # Three clusters far apart, one of them of two halves: Leiden finds three or four.
    halves = types + ((types == 2) & (batches == 1))
    possible = [(normalized_mutual_info_score(types, c), adjusted_rand_score(types, c)) for c in (types, halves)]
    assert any((biology["nmi"], biology["ari"]) == pytest.approx(pair, abs=1e-6) for pair in possible)


def test_means_are_of_the_parts(found):
    biology, mixing = found
    assert biology["avg_bio"] == pytest.approx(np.mean([biology[k] for k in ("nmi", "ari", "silhouette_label")]))
    assert mixing["avg_batch"] == pytest.approx(
        np.mean([mixing[k] for k in ("silhouette_batch", "graph_connectivity")])
    )
    assert overall(0.5, 1.0) == pytest.approx(0.7)


def test_mixed_batches_score_higher_than_batches_apart(blobs, found):
    points, types, batches = blobs
    apart = points + 20 * batches[:, None] * np.eye(1, 5, 3)
    worse = BatchMixing().compute(predictions=apart, references=types, batches=batches)
    assert worse["avg_batch"] < found[1]["avg_batch"]


def test_a_missing_library_is_one_line_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "scib_metrics", None)
    with pytest.raises(ValueError, match=r'pip install "langcell\[eval\]"'):
        import_scib_metrics()


def test_one_type_is_refused_where_the_library_would_say_one_half(blobs):
    pytest.importorskip("scib_metrics")
    points, types, batches = blobs
    with pytest.raises(ValueError, match="The 90 cells are of one type"):
        Biology().compute(predictions=points, references=np.zeros_like(types), batches=batches)
