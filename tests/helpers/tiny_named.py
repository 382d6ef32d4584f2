"""Cells as `annotate` leaves them, made by code, with any number of cells and labels."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from langcell.processing.labels.resolve import resolve_labels

LABELS = ["B cell", "natural killer cell", "CD14-positive monocyte", "hepatocyte", "my odd cells <i>"]
WIDTH = 16


def named_cells(n_cells: int, labels: list[str] | None = None, *, n_samples: int = 3, seed: int = 0) -> AnnData:
    """Cells in clusters, each called by the label of its cluster; the last cell is unassigned."""
    rng = np.random.default_rng(seed)
    resolved = resolve_labels(labels or LABELS)
    names = [label.name for label in resolved]
    codes = np.minimum(rng.geometric(0.3, n_cells) - 1, len(names) - 1)
    embeddings = rng.normal(size=(len(names), WIDTH))[codes] + 0.4 * rng.normal(size=(n_cells, WIDTH))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = rng.gamma(0.4, size=(n_cells, len(names))) + 3 * (np.arange(len(names)) == codes[:, None])
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    codes = scores.argmax(axis=1)
    codes[-1], scores[-1] = len(names), np.nan
    obs = pd.DataFrame(
        {
            "langcell_label": pd.Categorical.from_codes(codes, [*names, "unassigned"]),
            "langcell_confidence": np.nan_to_num(scores.max(axis=1)),
            "donor_id": pd.Categorical([f"donor {i}" for i in rng.integers(n_samples, size=n_cells)]),
        },
        index=pd.Index([f"cell{i}" for i in range(n_cells)]),
    )
    adata = AnnData(sparse.csr_matrix((n_cells, 4), dtype=np.float32), obs=obs)
    adata.obsm["X_langcell"] = embeddings.astype(np.float32)
    adata.obsm["langcell_scores"] = scores
    adata.uns["langcell"] = {
        "labels": names,
        "label_texts": [label.text for label in resolved],
        "label_ontology_term_ids": [label.ontology_term_id or "" for label in resolved],
        "alpha": 0.1,
        "rerank": "full",
        "pairs_evaluated": n_cells * len(names),
        "model_id": "langcell-mini",
        "model_revision": "0123456789ab",
        "vocabulary_fingerprint": "f" * 64,
        "langcell_version": "0.1.0",
        "dtype": "float32",
        "values_from": "X",
        "x_is": "counts",
        "gene_coverage": 0.534,
        "count_coverage": 0.871,
    }
    return adata


def refined_cells(n_cells: int, *, seed: int = 0) -> AnnData:
    """The same, with what `annotate` adds where the cells of a file name each other, and two clusters with names."""
    rng = np.random.default_rng(seed)
    adata = named_cells(n_cells, seed=seed)
    names, label = adata.uns["langcell"]["labels"], adata.obs["langcell_label"]
    alone = label.astype(str).to_numpy(dtype=object)
    alone[:3] = names[3]
    adata.obs["langcell_label_alone"] = pd.Categorical(alone, categories=label.cat.categories)
    adata.obs["langcell_novelty"] = rng.uniform(0, 0.7, n_cells).astype(np.float32)
    adata.obs.loc[adata.obs_names[:2], "langcell_novelty"] = 0.9
    adata.obs["leiden"] = pd.Categorical(np.where(np.arange(n_cells) % 4 == 0, "1", "0"))
    adata.uns["langcell"] |= {
        "refined": True,
        "refined_cells": int((alone != label.astype(str)).sum()),
        "cells_that_fit_no_label": 2,
        "confidence_is_probability": True,
        "cluster_column": "leiden",
        "clusters": {
            "cluster": np.array(["0", "1"], dtype=object),
            "cells": np.array([n_cells - n_cells // 4, n_cells // 4]),
            "label": np.array(names[:2], dtype=object),
            "probability": np.array([0.8, 0.6]),
            "share": np.array([0.9, 0.5]),
            "runner_up": np.array([names[1], names[0]], dtype=object),
            "runner_up_share": np.array([0.05, 0.4]),
            "novelty": np.array([0.1, 0.2]),
            "mixed": np.array([False, True]),
            "unknown": np.array([False, False]),
        },
    }
    return adata
