import logging

import numpy as np
import pytest
from numpy.testing import assert_allclose

from langcell.inference.naming.calibration import Calibration
from langcell.inference.naming.name_cells import confidence_of, masked_scores, name_cells, storable
from langcell.inference.naming.options import NamingOptions
from langcell.inference.running.parts import MemoryParts
from langcell.processing.labels.resolve import resolve_labels

LABELS = resolve_labels(["CD8-positive, alpha-beta T cell", "hepatocyte", "CD4-positive, alpha-beta T cell"])
NAMES = [label.name for label in LABELS]
NAN = float("nan")
SCORES = np.array(
    [
        [0.70, 0.20, 0.10],
        [0.44, 0.10, 0.46],  # two T cells, close
        [0.10, 0.46, 0.44],  # close, but no siblings
        [0.50, NAN, 0.30],  # as exact re-ranking leaves them
        [0.33, 0.33, 0.34],  # a cell without a known gene: whatever the model says of it
    ],
    dtype=np.float32,
)
SIMILARITY = np.log(np.nan_to_num(SCORES, nan=0.2)) * 4
KNOWN = np.array([True, True, True, True, False])
FULL = np.array([0, 1, 2, 4])


def parts_of(scores=SCORES, known=KNOWN, rows_per_chunk: int = 2) -> MemoryParts:
    parts = MemoryParts()
    embeddings = np.eye(len(scores), 4, dtype=np.float32) + 0.1
    for start in range(0, len(scores), rows_per_chunk):
        chunk = slice(start, start + rows_per_chunk)
        columns = {"scores": scores, "known": known, "embeddings": embeddings, "similarity": SIMILARITY[: len(scores)]}
        parts.add(start, {name: column[chunk] for name, column in columns.items()})
    return parts


def named_with(scores=SCORES, known=KNOWN, **options) -> tuple[list[str], np.ndarray, list[str]]:
    named = name_cells(parts_of(scores, known), LABELS, NamingOptions(**options))
    obs = named.obs()
    return obs["langcell_label"].tolist(), obs["langcell_confidence"], obs["langcell_ontology_term_id"].tolist()


@pytest.mark.parametrize("rows_per_chunk", [1, 2, 100])
def test_the_best_label_and_its_score(rows_per_chunk):
    named = name_cells(parts_of(rows_per_chunk=rows_per_chunk), LABELS, NamingOptions())
    assert [named.names[code] for code in named.codes] == [NAMES[0], NAMES[2], NAMES[1], NAMES[0], "unassigned"]
    assert_allclose(named.confidence, [0.7, 0.46, 0.46, 0.5, 0])
    assert named.names == [*NAMES, "unassigned"]
    assert named.obs()["langcell_ontology_term_id"].tolist() == [
        "CL:0000625", "CL:0000624", "CL:0000182", "CL:0000625", "",
    ]  # fmt: skip


def test_scores_of_cells_without_a_known_gene_are_not_shown():
    scores = np.concatenate(list(masked_scores(parts_of())))
    assert np.isnan(scores[4]).all()
    assert_allclose(scores[:4], SCORES[:4])


def test_cells_below_a_confidence_are_unknown():
    names, confidence, term_ids = named_with(unknown=0.46)
    assert names == [NAMES[0], NAMES[2], NAMES[1], NAMES[0], "unassigned"]  # on the line is not below it
    names, _, term_ids = named_with(unknown=0.5)
    assert names == [NAMES[0], "unknown", "unknown", NAMES[0], "unassigned"]
    assert term_ids == ["CL:0000625", "", "", "CL:0000625", ""]
    assert_allclose(confidence, [0.7, 0.46, 0.46, 0.5, 0])


def test_a_calibration_gives_confidence_and_line(tmp_path):
    calibration = Calibration(temperature=2.0, threshold=0.6)
    calibration.save(tmp_path / "calibration.json")
    options = NamingOptions(unknown=tmp_path / "calibration.json")
    names, confidence, _ = named_with(unknown=str(tmp_path / "calibration.json"))
    assert names == [NAMES[0], "unknown", "unknown", NAMES[0], "unassigned"]
    assert_allclose(confidence[:4], calibration.confidence(SIMILARITY[:4], np.array([0, 2, 1, 0])))
    assert confidence[4] == 0
    assert options.settings()["unknown_below"] == 0.6
    assert options.checked().rerank == "exact"  # the similarities are all there


def test_a_calibration_of_smoothed_scores(tmp_path):
    """Confidences are smoothed as the scores are: cells that are all alike come to the same label and confidence."""
    calibration = Calibration(temperature=2.0, threshold=0.0)
    calibration.save(tmp_path / "calibration.json")
    rows = slice(0, 3)
    named = name_cells(
        parts_of(SCORES[rows], KNOWN[rows]), LABELS, NamingOptions(unknown=tmp_path / "calibration.json", smooth=1e6)
    )
    best = named.scores.argmax(1)
    assert_allclose(named.scores, np.tile(SCORES[rows].mean(0), (3, 1)), atol=1e-3)
    assert_allclose(named.confidence, calibration.probabilities(SIMILARITY[rows]).mean(0)[best], atol=1e-3)


def test_siblings_that_are_close_become_their_ancestor():
    names, confidence, term_ids = named_with(SCORES[FULL], KNOWN[FULL], ontology_backoff=0.05)
    assert names == [NAMES[0], "mature alpha-beta T cell", NAMES[1], "unassigned"]
    assert term_ids[1] == "CL:0000791"
    assert_allclose(confidence[1], 0.46)


def test_unknown_goes_before_an_ancestor():
    names, _, _ = named_with(SCORES[FULL], KNOWN[FULL], ontology_backoff=0.05, unknown=0.5)
    assert names == [NAMES[0], "unknown", "unknown", "unassigned"]


def test_smoothing_moves_scores_and_keeps_distributions():
    named = name_cells(parts_of(SCORES[FULL], KNOWN[FULL]), LABELS, NamingOptions(smooth=1.0))
    assert_allclose(named.scores[:3].sum(1), 1, atol=1e-5)
    assert np.isnan(named.scores[3]).all()
    assert named.scores[0, 0] < 0.7
    assert_allclose(named.confidence[:3], named.scores[:3].max(1))
    none = name_cells(parts_of(SCORES[FULL], KNOWN[FULL]), LABELS, NamingOptions(smooth=0.0))
    assert_allclose(none.scores[:3], SCORES[:3], atol=1e-6)


def test_neighbours_may_be_those_of_another_matrix():
    """Two groups of cells of twenty each, which take turns: each comes to the mean of its own scores."""
    scores = np.random.default_rng(0).dirichlet([1, 1, 1], 40).astype(np.float32)
    groups = np.arange(40) % 2
    space = np.where(groups[:, None], [[1.0, 0.0]], [[0.0, 1.0]]) + np.random.default_rng(1).random((40, 2)) * 0.01
    parts, options = MemoryParts(), NamingOptions(smooth=1e6, smooth_over="X_pca")
    parts.add(0, {"scores": scores, "known": np.ones(40, dtype=bool)})
    named = name_cells(parts, LABELS, options, neighbour_space=space)
    for group in (0, 1):
        member = groups == group
        assert named.scores[member].std(axis=0).max() < 1e-3 < scores[member].std(axis=0).min()
    assert abs(named.scores[0] - named.scores[1]).max() > 0.01
    assert options.checked().settings()["smooth_over"] == "X_pca"


def test_a_model_that_gives_nan_is_an_error():
    scores = SCORES.copy()
    scores[1] = np.nan
    with pytest.raises(ValueError, match="gives 1 cells NaN for all labels"):
        named_with(scores)


@pytest.mark.parametrize("option", [{"unknown": 0.5, "refine": "none"}, {"smooth": 1.0}, {"ontology_backoff": 0.1}])
def test_what_needs_all_scores_gets_them(option, caplog):
    caplog.set_level(logging.INFO)
    assert NamingOptions(**option).checked().rerank == "full"
    assert f"{next(iter(option))} needs the scores of all labels" in caplog.text
    assert NamingOptions(**option, rerank="none").checked().rerank == "none"
    with pytest.raises(ValueError, match="rerank 'top-k' leaves most scores out"):
        NamingOptions(**option, rerank="top-k").checked()


@pytest.mark.parametrize("rerank", ["exact", "full", "top-k", "none"])
def test_without_them_rerank_stays(rerank):
    assert NamingOptions(rerank=rerank).checked().rerank == rerank
    assert NamingOptions(rerank=rerank).settings() == {"rerank": rerank} | ({"k": 10} if rerank == "top-k" else {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"alpha": 2}, "alpha is 2; legal are 0", id="alpha"),
        pytest.param({"rerank": "some"}, "rerank is 'some'; legal are", id="rerank"),
        pytest.param({"rerank": "top-k", "k": 0}, "k is 0; give the number", id="k"),
        pytest.param({"smooth": -1}, "smooth is -1; give a strength of 0", id="smooth"),
        pytest.param({"smooth": float("inf")}, "smooth is inf", id="smooth_infinite"),
        pytest.param({"smooth_over": "X_pca"}, "smooth_over is 'X_pca' without smooth", id="smooth_over"),
        pytest.param({"ontology_backoff": 2}, "ontology_backoff is 2; give a margin", id="ontology_backoff"),
        pytest.param({"unknown": 1.5}, "unknown is 1.5; give a confidence from 0 to 1", id="unknown"),
        pytest.param({"unknown": "nowhere.json"}, "Cannot read the calibration nowhere.json", id="calibration"),
    ],
)
def test_illegal_options(options, message):
    with pytest.raises(ValueError, match=message):
        NamingOptions(**options).checked()


def test_a_calibration_for_another_model_is_refused(tmp_path):
    Calibration(1.0, 0.5, {"alpha": 0.1}).save(tmp_path / "c.json")
    options = NamingOptions(unknown=tmp_path / "c.json")
    options.check_calibration(alpha=0.1)
    with pytest.raises(ValueError, match=r"fitted with alpha 0\.1, but here it is 0\.5"):
        options.check_calibration(alpha=0.5)
    NamingOptions(unknown=0.5).check_calibration(alpha=0.5)


def test_a_label_called_unknown_is_only_refused_where_the_word_is_needed():
    labels = resolve_labels(["unknown", "B cell"])
    assert storable(labels, NamingOptions()) == labels
    with pytest.raises(ValueError, match="'unknown' cannot be a label"):
        storable(labels, NamingOptions(unknown=0.5))


def test_a_threshold_is_a_number_or_the_text_of_one():
    assert confidence_of(0.25) == confidence_of("0.25") == (None, 0.25)
    assert confidence_of(None) == (None, 0.0)
