import numpy as np
import pytest
from scipy.special import softmax

from langcell.inference.naming.calibrate import calibrate
from langcell.inference.naming.calibration import Calibration


def cells(n_cells: int = 2000, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores far too flat, the similarities that they are made of, and truths."""
    rng = np.random.default_rng(seed)
    similarity = 2 * rng.normal(size=(n_cells, 4))
    truth = np.array([rng.choice(4, p=row) for row in softmax(similarity, axis=1)])
    return 0.1 * softmax(similarity, axis=1) + 0.9 / 4, similarity, truth


def test_it_is_measured_on_cells_that_it_was_not_fitted_on():
    run = calibrate(*cells(), target_risk=0.15, fit_share=0.25, seed=3, fitted_with={"alpha": 0.1})
    report = run.report()
    assert (run.fit_cells, report["cells"]) == (500, 1500)
    assert report["expected_calibration_error"] < 0.05 < report["expected_calibration_error_before"]
    assert report["risk_at_threshold"] == pytest.approx(0.15, abs=0.05)
    assert 0 < report["coverage_at_threshold"] < 1
    assert report["accuracy"] == pytest.approx(1 - report["risk_coverage"][0]["risk"])
    assert run.calibration.fitted_with["alpha"] == 0.1
    assert run.calibration.fitted_with["held_out"] == report


def test_the_seed_decides():
    first, again, other = (calibrate(*cells(300), seed=seed).calibration for seed in (0, 0, 1))
    assert first == again
    assert first.temperature != other.temperature


def test_the_table_and_the_files(tmp_path):
    run = calibrate(*cells(400), target_accuracy=0.8)
    table = run.table()
    assert [column.header for column in table.columns] == ["coverage", "threshold", "risk"]
    assert next(iter(table.columns[0].cells)) == "100.0%"
    assert "chosen" in str(list(table.columns[1].cells)[-1])
    picture = run.save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json") == run.calibration
    assert picture == tmp_path / "calibration.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_picture_names_each_series_once_with_its_calibration_error():
    run = calibrate(*cells(400), target_accuracy=0.8)
    report = run.report()
    (legend,) = run.figure().legends
    assert [text.get_text() for text in legend.get_texts()] == [
        f"calibrated confidence, ECE {report['expected_calibration_error']:.3f}",
        f"greatest score, ECE {report['expected_calibration_error_before']:.3f}",
        f"threshold {run.calibration.threshold:.3f}",
    ]


def test_cells_without_scores_are_never_confident():
    scores, similarity, truth = cells(400)
    scores[::10] = similarity[::10] = np.nan
    run = calibrate(scores, similarity, truth, target_risk=0.3)
    assert (run.confidence == 0).sum() == (run.raw_confidence == 0).sum() > 0
    assert not run.correct[run.confidence == 0].any()


@pytest.mark.parametrize(
    ("n_cells", "options", "message"),
    [
        pytest.param(100, {"fit_share": 1.0}, "fit_share is 1.0", id="share"),
        pytest.param(1, {}, "There are 1 cells with a type, too few", id="one_cell"),
        pytest.param(100, {"target_risk": 2.0}, "target risk is 2", id="target"),
    ],
)
def test_unusable_options(n_cells, options, message):
    with pytest.raises(ValueError, match=message):
        calibrate(*cells(n_cells), **options)
