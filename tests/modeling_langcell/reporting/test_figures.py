import numpy as np
import pandas as pd
import pytest

from langcell.reporting.figures import MOST_SAMPLES, composition, confidence_histogram
from langcell.reporting.styles import PALETTE, styles_of


def test_shares_of_a_sample_sum_to_one_and_large_samples_come_first():
    names = [*(f"label {i}" for i in range(len(PALETTE) + 3)), "unassigned"]
    rng = np.random.default_rng(0)
    counts = pd.DataFrame(rng.integers(1, 9, size=(MOST_SAMPLES + 7, len(names))), columns=names)
    counts.iloc[3] *= 10
    figure = composition(counts, styles_of(names))
    assert [bar.text[0] for bar in figure.data] == names
    looks = {(bar.marker.color, bar.marker.pattern.shape) for bar in figure.data}
    assert len(looks) == len(names)  # more labels than colours stay distinguishable
    np.testing.assert_allclose(sum(np.asarray(bar.x) for bar in figure.data), np.ones(MOST_SAMPLES))
    assert figure.data[0].y[0] == f"3 ({counts.iloc[3].sum():,})"


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_histogram_has_every_cell(threshold):
    confidence = np.r_[np.random.default_rng(0).uniform(0, 0.8, 500), 0.0, 1.0]
    figure = confidence_histogram(confidence, threshold=threshold)
    assert sum(figure.data[0].y) == len(confidence)
    said = [note.text for note in figure.layout.annotations]
    assert said == [f"median {np.median(confidence):.2f}", *(["unknown below 0.30"] if threshold else [])]
