import numpy as np
import pytest
from scipy import sparse

from langcell.processing.cells.raw_counts import XKind, first_fault, refusal, summarise_values, to_linear


@pytest.mark.parametrize(
    ("values", "x_is", "part"),
    [
        pytest.param([0, 1, 7], "counts", None, id="integers"),
        pytest.param([0.0, 1.0, 7.0], "counts", None, id="floats_holding_integers"),
        pytest.param([0, 1, 1], "counts", None, id="binary"),
        pytest.param([], "counts", None, id="no_values"),
        pytest.param([0.31, 6.52], "counts", "0.31 to 6.52, not integers: log-normalised?", id="log_normalised"),
        pytest.param([0.5, 812.0], "counts", "not integers: corrected counts, or normalised to a depth?", id="cp10k"),
        pytest.param([-2.5, 10.0], "counts", "some negative: scaled?", id="scaled"),
        pytest.param([1.0, np.nan], "counts", "NaN or infinite", id="nan"),
        pytest.param([1.0, np.inf], "linear", "NaN or infinite", id="infinite"),
        pytest.param([0.5, 812.0], "linear", None, id="linear"),
        pytest.param([-1.0, 1.0], "linear", "negative", id="negative_linear"),
        pytest.param([0.31, 6.52], "log1p", None, id="log1p"),
        pytest.param([0.31, 812.0], "log1p", "too large for log1p", id="log1p_too_large"),
    ],
)
def test_refusal_says_what_is_wrong(values: list[float], x_is: XKind, part: str | None) -> None:
    found = refusal(summarise_values([np.array(values)]), x_is)
    assert found is None if part is None else found is not None and part in found


@pytest.mark.parametrize(
    ("values", "x_is", "expected"),
    [
        pytest.param([1.0, 2.0], "counts", None, id="fine"),
        pytest.param([1.0, 2.5, -1.0], "counts", (1, "is 2.5, not a whole number"), id="fraction_comes_first"),
        pytest.param([1.0, -1.5], "counts", (1, "is -1.5, negative"), id="negative_fraction"),
        pytest.param([np.nan], "linear", (0, "is nan, not a finite number"), id="nan"),
        pytest.param([1.0, np.inf], "log1p", (1, "is inf, not a finite number"), id="infinite"),
        pytest.param([50.0], "log1p", (0, "is 50, too large for log1p"), id="log1p_too_large"),
        pytest.param([2.5], "linear", None, id="linear_fraction"),
    ],
)
def test_first_fault(values: list[float], x_is: XKind, expected: tuple[int, str] | None) -> None:
    assert first_fault(np.array(values), x_is) == expected


def test_to_linear_is_canonical() -> None:
    matrix = sparse.csr_matrix((np.array([2.0, 0.0, 1.0, 3.0]), np.array([1, 2, 0, 1]), np.array([0, 4])), shape=(1, 3))
    linear = to_linear(matrix, "counts")
    assert linear.dtype == np.float32
    assert linear.indices.tolist() == [0, 1]
    assert linear.data.tolist() == [1.0, 5.0]


def test_to_linear_undoes_log1p_and_keeps_integers() -> None:
    values = np.array([[0.5, 0.0, 1e4]])
    np.testing.assert_allclose(to_linear(sparse.csr_matrix(np.log1p(values)), "log1p").toarray(), values, rtol=1e-6)
    assert to_linear(sparse.csr_matrix(np.array([[1, 2]], dtype=np.uint16)), "counts").dtype == np.uint16
