"""What a model has to beat: logistic regression and the nearest centroid, on the cells' features.

The features without any model are principal components (50) of log1p of counts per 10,000 on the 2,000 genes that
vary most. Genes and components are found on all cells, test cells included, without labels: an advantage of the
baseline that a model which reads cells one by one does not have.
"""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances_argmin
from sklearn.multiclass import OneVsRestClassifier

_MAX_ITERATIONS = 2000


def logistic_regression(train: np.ndarray, classes: np.ndarray, test: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Return class probabilities by logistic regression.

    The features are centred and brought to one common scale. Scaling each by itself was tried: it makes the last
    principal components, which are noise, as loud as the first, and with few cells nothing is left to learn.

    Args:
        train: features, shape (training cells, features).
        classes: int64, shape (training cells,); at least two distinct ones.
        test: features, shape (test cells, features).
        n_classes: columns of the result; a class without a training cell has probability 0.

    Returns:
        float64, shape (test cells, n_classes).
    """
    train, test = _on_one_scale(train, test)
    return _probabilities(train, classes, test, n_classes)


def logistic_regression_on_genes(
    train: sparse.csr_matrix, classes: np.ndarray, test: sparse.csr_matrix, *, n_classes: int
) -> np.ndarray:
    """Return class probabilities by logistic regression on all genes, which no cell but the training cells has a part
    in.

    Args:
        train: log-normalized, shape (training cells, genes).
        classes: int64, shape (training cells,); at least two distinct ones.
        test: likewise, shape (test cells, genes).
        n_classes: columns of the result; a class without a training cell has probability 0.

    Returns:
        float64, shape (test cells, n_classes).
    """
    return _probabilities(train, classes, test, n_classes)


def _probabilities(train: Any, classes: np.ndarray, test: Any, n_classes: int) -> np.ndarray:
    model = LogisticRegression(max_iter=_MAX_ITERATIONS).fit(train, classes)
    probabilities = np.zeros((test.shape[0], n_classes))
    probabilities[:, model.classes_] = model.predict_proba(test)
    return probabilities


def nearest_centroid(train: np.ndarray, classes: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the class whose mean training embedding is nearest (Euclidean); int64, shape (test cells,)."""
    # scikit-learn's NearestCentroid divides by zero where every class has one cell.
    present = np.unique(classes)
    centroids = np.stack([train[classes == code].mean(axis=0) for code in present])
    return present[pairwise_distances_argmin(test, centroids)]


def multi_label_regression(train: np.ndarray, active: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the probability of each of several labels, which do not exclude each other: one logistic regression a
    label.

    Args:
        train: features, shape (training cells, features).
        active: 0 or 1, shape (training cells, labels); both values occur in every column.
        test: features, shape (test cells, features).

    Returns:
        float64, shape (test cells, labels).
    """
    train, test = _on_one_scale(train, test)
    regression: Any = OneVsRestClassifier(LogisticRegression(max_iter=_MAX_ITERATIONS)).fit(train, active)
    probabilities = regression.predict_proba(test)
    # With one label scikit-learn takes the task for a binary one and returns both of its classes.
    return probabilities[:, 1:] if active.shape[1] == 1 else probabilities


def _on_one_scale(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both less the mean of the training cells, over the root of their mean variance, so that directions stay."""
    mean, scale = train.mean(axis=0), np.sqrt(train.var(axis=0).mean())
    scale = scale if scale > 0 else 1.0
    return (train - mean) / scale, (test - mean) / scale
