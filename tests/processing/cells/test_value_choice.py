import numpy as np
import pandas as pd
import pytest

from langcell.processing.cells.cell_tables import FrameTable
from langcell.processing.cells.contents import Contents
from langcell.processing.cells.matrix_rows import DenseRows
from langcell.processing.cells.raw_counts import XKind
from langcell.processing.cells.value_choice import find_values

COUNTS = np.array([[0, 3.0], [2.0, 1.0]])
LOGGED = np.log1p(COUNTS)
SCALED = COUNTS - 1.5


def contents(**matrices: np.ndarray) -> Contents:
    """Two cells, two genes; keyword raw is raw.X, X is X, every other one a layer."""
    locations = {name: {"X": "X", "raw": "raw/X"}.get(name, f"layers/{name}") for name in matrices}
    table = pd.DataFrame(index=["1", "2"])
    return Contents(
        name="file.h5ad",
        cells=FrameTable(table),
        var=table,
        raw_var=table if "raw" in matrices else None,
        matrices={locations[name]: (lambda values=values: DenseRows(values)) for name, values in matrices.items()},
        close=lambda: None,
    )


@pytest.mark.parametrize(
    ("matrices", "x_is", "layer", "expected"),
    [
        pytest.param({"X": COUNTS, "counts": COUNTS}, "counts", None, "X", id="x_first"),
        pytest.param({"X": LOGGED, "counts": COUNTS, "raw": COUNTS}, "counts", None, "layers/counts", id="then_layer"),
        pytest.param({"X": SCALED, "counts": LOGGED, "raw": COUNTS}, "counts", None, "raw/X", id="then_raw"),
        pytest.param({"raw": COUNTS}, "counts", None, "raw/X", id="no_x"),
        pytest.param({"X": COUNTS, "raw": COUNTS}, "counts", "raw", "raw/X", id="raw_named"),
        pytest.param(
            {"X": COUNTS, "raw": LOGGED, "spliced": COUNTS}, "counts", "spliced", "layers/spliced", id="layer"
        ),
        pytest.param({"X": LOGGED, "counts": COUNTS}, "log1p", None, "X", id="log1p_from_x"),
        pytest.param({"X": SCALED, "raw": LOGGED}, "log1p", "raw", "raw/X", id="log1p_from_raw"),
        pytest.param({"X": LOGGED, "tpm": COUNTS}, "linear", "tpm", "layers/tpm", id="linear_from_layer"),
    ],
)
def test_location(matrices: dict[str, np.ndarray], x_is: XKind, layer: str | None, expected: str) -> None:
    found = find_values(contents(**matrices), x_is=x_is, layer=layer).found
    assert found.location == expected
    assert found.rows is not None
    assert found.rows.shape == (2, 2)


@pytest.mark.parametrize(
    ("matrices", "x_is", "layer", "parts"),
    [
        pytest.param(
            {"X": LOGGED},
            "counts",
            None,
            [
                'X holds values 0.6931 to 1.386, not integers: log-normalised?; layers["counts"] does not exist',
                "--x-is log1p",
            ],
            id="log_normalised_x",
        ),
        pytest.param(
            {"X": SCALED, "raw": LOGGED},
            "counts",
            None,
            ["X holds values -1.5 to 1.5, some negative: scaled?", "raw.X holds", 'layer "raw" with --x-is log1p'],
            id="scaled_x_logged_raw",
        ),
        pytest.param(
            {"X": SCALED}, "counts", None, ['Store raw counts in X, layers["counts"] or raw'], id="scaled_only"
        ),
        pytest.param(
            {"X": SCALED, "raw": LOGGED}, "log1p", None, ["no log1p values", "one of ['X', 'raw']"], id="log1p"
        ),
        pytest.param({"X": COUNTS * np.nan}, "linear", None, ["X holds NaN or infinite"], id="nan"),
        pytest.param({}, "linear", None, ["X does not exist"], id="nothing"),
        pytest.param({"X": COUNTS}, "counts", "spliced", ["unknown layer 'spliced'; it has ['X']"], id="unknown_layer"),
        pytest.param({"X": COUNTS[:1]}, "counts", None, ["X is 1 x 2, but the tables name 2 cells"], id="shape"),
        pytest.param({"X": COUNTS.astype("S3")}, "counts", None, ["X holds |S3, not numbers"], id="text"),
    ],
)
def test_refusal_names_what_was_found_and_what_to_do(
    matrices: dict[str, np.ndarray], x_is: XKind, layer: str | None, parts: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"^file\.h5ad: ") as caught:
        find_values(contents(**matrices), x_is=x_is, layer=layer)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)
