from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from langcell.processing.cells.annotation_values import (
    check_key,
    check_output,
    fitted_column,
    fitted_matrix,
    refuse_same_file,
)

NAMES = pd.Index(["a", "b"])


def test_output_names_a_format_and_replaces_only_its_own_kind(tmp_path: Path) -> None:
    check_output(tmp_path / "new.h5ad")
    check_output(tmp_path / "new.zarr")
    (tmp_path / "folder.h5ad").mkdir()
    (tmp_path / "precious.zarr").mkdir()
    with pytest.raises(ValueError, match=r"end in \.h5ad or \.zarr"):
        check_output(tmp_path / "table.csv")
    with pytest.raises(ValueError, match="is a folder"):
        check_output(tmp_path / "folder.h5ad")
    with pytest.raises(ValueError, match="no zarr folder"):
        check_output(tmp_path / "precious.zarr")


@pytest.mark.parametrize(
    ("data", "output"),
    [
        pytest.param("cells.h5ad", "cells.h5ad", id="same"),
        pytest.param("cells.h5ad", "./folder/../cells.h5ad", id="another way"),
        pytest.param("cells.h5ad", "soft.h5ad", id="output is a link"),
        pytest.param("soft.h5ad", "cells.h5ad", id="input is a link"),
        pytest.param("cells.h5ad", "hard.h5ad", id="hard link"),
        pytest.param("cells.zarr", "cells.zarr", id="zarr"),
        pytest.param("cells.zarr", "cells.zarr/named.h5ad", id="inside the input"),
    ],
)
def test_an_output_that_is_the_input_is_refused(tmp_path: Path, data: str, output: str) -> None:
    (tmp_path / "cells.h5ad").write_bytes(b"cells")
    (tmp_path / "soft.h5ad").symlink_to(tmp_path / "cells.h5ad")
    (tmp_path / "hard.h5ad").hardlink_to(tmp_path / "cells.h5ad")
    (tmp_path / "cells.zarr").mkdir()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="is the input, which would be replaced; name another output"):
        refuse_same_file(tmp_path / data, tmp_path / output)


def test_other_outputs_pass(tmp_path: Path) -> None:
    (tmp_path / "cells.h5ad").write_bytes(b"cells")
    (tmp_path / "copy.h5ad").write_bytes(b"cells")
    for output in ("copy.h5ad", "new.h5ad", "cells.zarr"):
        refuse_same_file(tmp_path / "cells.h5ad", tmp_path / output)
    refuse_same_file(None, tmp_path / "cells.h5ad")


@pytest.mark.parametrize(("name", "value"), [("a/b", 1), ("", 1), ("a", {"b": {"c/d": 1}})])
def test_key_that_would_be_a_path_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="rename it"):
        check_key(name, value)


def test_column_keeps_the_order_of_its_categories() -> None:
    labels = pd.Categorical(["x", "y"], categories=["y", "x", "unseen"])
    for given in (labels, pd.Series(labels, index=["p", "q"])):
        column = fitted_column("label", given, 2)
        assert isinstance(column, pd.Categorical)
        assert list(column.categories) == ["y", "x", "unseen"]
    assert fitted_column("score", [0.5, 1.0], 2).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((2, 1)), 1.0, pd.Categorical(["a"])])
def test_column_of_another_length_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="give one value a cell"):
        fitted_column("score", values, 2)


def test_frame_gets_the_names_of_the_cells() -> None:
    frame = fitted_matrix("scores", pd.DataFrame({"NK/T": [1.0, 2.0]}), NAMES)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.index) == ["a", "b"]
    assert list(frame.columns) == ["NK_T"]


@pytest.mark.parametrize(
    ("values", "part"),
    [
        pytest.param(np.zeros((3, 2)), "a row a cell", id="rows"),
        pytest.param(np.zeros(2), "a row a cell", id="one_dimension"),
        pytest.param(pd.DataFrame({"x": [1, 2]}, index=["b", "a"]), "order of the cells", id="other_order"),
        pytest.param(pd.DataFrame([[1, 2]] * 2, columns=["a/b", "a_b"]), "have to differ", id="columns_that_collide"),
    ],
)
def test_matrix_that_does_not_fit_is_refused(values: object, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        fitted_matrix("scores", values, NAMES)
