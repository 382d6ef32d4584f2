#!/usr/bin/env bash
# Scores of an embedding exist even if there is one cell type only.
#
# One would guess: a measure of how well types are apart refuses a data set of one type, as silhouette_score of
#   scikit-learn does, or gives NaN throughout.
# What happens: scib-metrics gives 0.5 for the silhouette of labels and of isolated labels, 1 for
#   NMI by k-means, and NaN for cLISI. No warning but numpy's at the last.
# Seen with: scib-metrics 0.5.10, scikit-learn 1.9.1.
# Why a user would care: evaluations per tissue or per donor often meet a part with one type (sorted cells). Its "0.5"
#   enters the mean like a measured value.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile scib-metrics==0.5.10 scikit-learn==1.9.1 numpy==2.4.6 pandas==2.3.3
JAX_PLATFORMS=cpu venv/bin/python -W ignore - <<'PY'
import math
import sys
from importlib.metadata import version

import numpy as np
import scib_metrics
from scib_metrics.nearest_neighbors import pynndescent
from sklearn.metrics import silhouette_score

rng = np.random.default_rng(0)
cells = rng.normal(size=(50, 4)).astype("f4")
one_type, batches = np.zeros(50, int), np.array([0, 1] * 25)
neighbours = pynndescent(cells, 15)
found = {
    "silhouette_label": float(scib_metrics.silhouette_label(cells, one_type)),
    "isolated_labels": float(scib_metrics.isolated_labels(cells, one_type, batches)),
    "clisi_knn": float(scib_metrics.clisi_knn(neighbours, one_type)),
    "nmi, k-means": float(scib_metrics.nmi_ari_cluster_labels_kmeans(cells, one_type)["nmi"]),
}
print(f"scib-metrics {version('scib-metrics')}, scikit-learn {version('scikit-learn')}; 50 cells of one type")
for name, value in found.items():
    print(f"{name}: {value}")
try:
    silhouette_score(cells, one_type)
    refused = False
except ValueError as error:
    refused = True
    print(f"scikit-learn: {error}")
half, isolated, lisi, nmi = found.values()
if not (half == 0.5 and isolated == 0.5 and math.isnan(lisi) and nmi == 1.0 and refused):
    sys.exit("the behaviour changed")
PY
