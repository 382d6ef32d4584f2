from dataclasses import replace

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


BINARY = (COUNTS > 0).astype(float)
WIDE = np.hstack([COUNTS, COUNTS])


def wide_raw(x: np.ndarray, raw: np.ndarray, raw_names: list[str] | None = None) -> Contents:
    """X with two genes beside raw with four."""
    names = raw_names or ["1a", "2a", "3a", "4a"]
    one = contents(X=x)
    table = pd.DataFrame(index=names)
    return replace(
        one,
        var=pd.DataFrame(index=["1a", "2a"]),
        raw_var=table,
        matrices={**one.matrices, "raw/X": lambda: DenseRows(raw)},
    )


@pytest.mark.parametrize(
    ("given", "expected", "said"),
    [
        pytest.param(wide_raw(COUNTS, WIDE), "raw/X", "X holds counts of 2 genes", id="more_genes_win"),
        pytest.param(wide_raw(COUNTS, np.log1p(WIDE)), "X", "not integers", id="raw_is_logged"),
        pytest.param(wide_raw(COUNTS, WIDE > 0), "X", "(0 and 1 alone)", id="counts_before_binary"),
        pytest.param(wide_raw(COUNTS, WIDE * 0), "X", "holds zeros alone", id="raw_is_empty"),
        pytest.param(wide_raw(COUNTS * 0, WIDE), "raw/X", "X holds zeros alone", id="x_is_empty"),
        pytest.param(wide_raw(COUNTS, WIDE, ["0", "1", "2", "3"]), "X", "raw.X", id="genes_without_names_do_not_count"),
        pytest.param(contents(X=LOGGED, raw_counts=COUNTS), "layers/raw_counts", "X holds values", id="raw_counts"),
        pytest.param(contents(X=SCALED, umi=COUNTS), "layers/umi", "X holds values", id="umi"),
        pytest.param(contents(X=SCALED, soupX_counts=COUNTS), "layers/soupX_counts", "X holds values", id="soupx"),
    ],
)
def test_counts_of_the_most_genes_are_read_and_the_choice_is_told(given: Contents, expected: str, said: str) -> None:
    choice = find_values(given, x_is="counts", layer=None)
    assert choice.found.location == expected
    assert len(choice.notes) == 1
    assert said in choice.notes[0]


def test_a_layer_that_is_named_wins() -> None:
    choice = find_values(wide_raw(COUNTS, WIDE), x_is="counts", layer="X")
    assert (choice.found.location, choice.notes) == ("X", ())


@pytest.mark.parametrize("name", ["spliced", "binned", "normalized_counts", "ranks"])
def test_whole_numbers_of_another_name_are_named_and_not_taken(name: str) -> None:
    with pytest.raises(ValueError, match=rf'Whole numbers are in layers\["{name}"\]: .* --layer {name}$'):
        find_values(contents(X=LOGGED, **{name: COUNTS}), x_is="counts", layer=None)


def test_zeros_alone_are_refused() -> None:
    for x_is in ("counts", "linear", "log1p"):
        with pytest.raises(ValueError, match="X holds zeros alone"):
            find_values(contents(X=COUNTS * 0), x_is=x_is, layer=None)


def test_zeros_and_ones_are_told() -> None:
    (note,) = find_values(contents(X=BINARY), x_is="counts", layer=None).notes
    assert note.startswith("X holds 0 and 1 alone: genes are ranked by how common they are")


def test_whole_numbers_rounded_to_one_depth_are_not_taken_before_counts() -> None:
    counts = np.random.default_rng(0).poisson(5, (8, 40)).astype(float)
    rounded = np.rint(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    table = pd.DataFrame(index=[f"g{i}" for i in range(40)])
    matrices = {"X": lambda: DenseRows(rounded), "raw/X": lambda: DenseRows(counts)}
    cells = FrameTable(pd.DataFrame(index=[str(i) for i in range(8)]))
    given = Contents("file.h5ad", cells, table, table, matrices, lambda: None)
    assert find_values(given, x_is="counts", layer=None).found.location == "raw/X"


def test_logarithms_of_all_genes_in_raw_are_told() -> None:
    (note,) = find_values(wide_raw(LOGGED, np.log1p(WIDE)), x_is="log1p", layer=None).notes
    assert "X (2 genes); raw.X has 4" in note


def test_corrected_counts_are_refused_with_advice_that_works() -> None:
    corrected = contents(X=COUNTS * 30.7)
    with pytest.raises(ValueError, match=r"corrected counts, or normalised to a depth.*--x-is linear") as caught:
        find_values(corrected, x_is="counts", layer=None)
    assert "log1p" not in str(caught.value)
    assert find_values(corrected, x_is="linear", layer=None).found.location == "X"
