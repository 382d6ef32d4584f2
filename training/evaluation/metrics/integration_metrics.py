"""Metrics of batch integration: `evaluate.Metric` classes around scib-metrics (extra `[eval]`).

AvgBio is the mean of NMI, ARI (Leiden clusters at the best of ten resolutions, against the types) and the silhouette of
the types; AvgBatch the mean of the batch silhouette (1: batches mixed) and graph connectivity (15 neighbours); overall
0.6 AvgBio + 0.4 AvgBatch, as in scGPT and the LangCell paper.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import datasets
import numpy as np

from langcell.training.evaluation.metrics.metrics import OfflineMetric

BIO_WEIGHT = 0.6
_NEIGHBOURS = 15
_COLUMNS = {
    "predictions": datasets.Sequence(datasets.Value("float32")),
    "references": datasets.Value("int64"),
    "batches": datasets.Value("int64"),
}
_INPUTS = "predictions: an embedding for each cell; references: code of its type; batches: code of its batch."


class Biology(OfflineMetric):
    """How well an embedding keeps the cell types apart: nmi, ari, silhouette_label and their mean, avg_bio.

    Raises ValueError for cells of a single type.
    """

    summary = "NMI and ARI of clusters against types, silhouette of types, and their mean."
    inputs = _INPUTS
    columns = _COLUMNS

    def _compute(
        self, *, predictions: Sequence[Sequence[float]], references: Sequence[int], batches: Sequence[int]
    ) -> dict[str, float]:
        embeddings, types = np.asarray(predictions, dtype=np.float32), np.asarray(references)
        if len(np.unique(types)) < 2:
            # scib-metrics would give 0.5 for the silhouette, as if it had been measured.
            raise ValueError(f"The {len(types)} cells are of one type; how well types are apart needs two at least.")
        with _scib_metrics() as scib:
            clusters = scib.nmi_ari_cluster_labels_leiden(neighbours(embeddings), types, seed=0)
            silhouette = scib.silhouette_label(embeddings, types)
        scores = {"nmi": clusters["nmi"], "ari": clusters["ari"], "silhouette_label": silhouette}
        return _with_mean(scores, "avg_bio")


class BatchMixing(OfflineMetric):
    """How well an embedding mixes batches: silhouette_batch, graph_connectivity and their mean, avg_batch."""

    summary = "Silhouette of batches within types, connectivity of each type's cells, and their mean."
    inputs = _INPUTS
    columns = _COLUMNS

    def _compute(
        self, *, predictions: Sequence[Sequence[float]], references: Sequence[int], batches: Sequence[int]
    ) -> dict[str, float]:
        embeddings, types = np.asarray(predictions, dtype=np.float32), np.asarray(references)
        with _scib_metrics() as scib:
            silhouette = scib.silhouette_batch(embeddings, types, np.asarray(batches))
            connectivity = scib.graph_connectivity(neighbours(embeddings), types)
        return _with_mean({"silhouette_batch": silhouette, "graph_connectivity": connectivity}, "avg_batch")


def overall(avg_bio: float, avg_batch: float) -> float:
    """Return 0.6 AvgBio + 0.4 AvgBatch."""
    return BIO_WEIGHT * avg_bio + (1 - BIO_WEIGHT) * avg_batch


def neighbours(embeddings: np.ndarray) -> Any:
    """Return the 15 nearest neighbours of each cell (Euclidean, exact), as scib-metrics has them."""
    from scib_metrics.nearest_neighbors import NeighborsResults
    from sklearn.neighbors import NearestNeighbors

    k = min(_NEIGHBOURS, len(embeddings))
    distances, indices = NearestNeighbors(n_neighbors=k).fit(embeddings).kneighbors(embeddings)
    return NeighborsResults(indices=indices, distances=distances)


def import_scib_metrics() -> Any:
    """Import the library.

    Raises:
        ValueError: it is not installed; the text says how to.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import scib_metrics
    except ImportError as error:
        raise ValueError(
            f'Integration is measured with scib-metrics, which is missing ({error}); pip install "langcell[eval]".'
        ) from error
    return scib_metrics


@contextmanager
def _scib_metrics() -> Iterator[Any]:
    """The library, with notes of jax and numba on how they work silenced."""
    scib_metrics = import_scib_metrics()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield scib_metrics


def _with_mean(scores: dict[str, Any], name: str) -> dict[str, float]:
    scores = {measure: float(value) for measure, value in scores.items()}
    return {**scores, name: float(np.mean(list(scores.values())))}
