import json

import pytest
import tiny_evaluation

from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.tasks import integration

# jax compiles for a while; jax, numba and harmonypy say how they work.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def context(tmp_path_factory, tiny_model_dir):
    path = tiny_evaluation.save_cells(tmp_path_factory.mktemp("cells") / "cells.h5ad")
    return EvaluationContext(path, model=tiny_model_dir, label_column="cell_type", device="cpu", progress=False)


def test_embeddings_stand_beside_pca_and_harmony(context):
    pytest.importorskip("scib_metrics")
    result = integration.run(context, batch_column="batch", repeats=2)
    report = result.report
    json.dumps(report, allow_nan=False)
    assert list(report["methods"]) == ["LangCell", "PCA", "Harmony"]
    for scores in report["methods"].values():
        parts = 0.6 * scores["avg_bio"] + 0.4 * scores["avg_batch"]
        assert scores["overall"] == pytest.approx(parts)
        assert {"overall_sd", "nmi", "ari", "silhouette_label", "silhouette_batch"} <= scores.keys()
    assert report["batches"] == {"run 0": 18, "run 1": 18}
    assert len(result.figures["umap"].axes) == 6


@pytest.mark.parametrize(
    ("column", "message"),
    [
        pytest.param("nope", "unknown column 'nope'", id="no_such_column"),
        pytest.param("one", "36 cells with a type and a batch are of 3 types and 1 batches", id="one_batch"),
        pytest.param("none", "0 cells with a type and a batch", id="no_batch"),
        pytest.param("type", "Each of the 3 types is in one of the 3 batches alone", id="confounded_with_types"),
    ],
)
def test_batches_that_cannot_be_compared_are_refused(context, column, message):
    context.cells.obs["one"], context.cells.obs["none"] = "same", None
    context.cells.obs["type"] = context.cells.obs["cell_type"].astype(str) + " run"
    with pytest.raises(ValueError, match=message):
        integration.run(context, batch_column=column)
