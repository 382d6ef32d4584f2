"""Equal values keep their order everywhere: counts and scores tie often, and results must not depend on the library.

torch keeps the order of up to 16 equal values even without `stable=True`, so that no test with few genes or labels
would see the word missing.
"""

import ast

import pytest
import torch
from places import ROOT

FLOORS = ("modeling_langcell", "processing", "training", "hub_cards")
# A permutation has no equal values: argsort is its inverse.
PERMUTATIONS = {"order", "chosen"}


def _unstable(source: str) -> list[int]:
    """Lines with an argsort that may reorder equal values."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "argsort"
        if not (call.args and isinstance(call.args[0], ast.Name) and call.args[0].id in PERMUTATIONS)
        if not any(
            (word.arg, getattr(word.value, "value", None)) in {("stable", True), ("kind", "stable")}
            for word in call.keywords
        )
    ]


def test_every_argsort_is_stable():
    files = [path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): _unstable(path.read_text(encoding="utf-8")) for path in files}
    assert any("argsort" in path.read_text(encoding="utf-8") for path in files)
    assert not {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        pytest.param("x.argsort(dim=-1)", [1], id="torch"),
        pytest.param("np.argsort(-x)", [1], id="numpy"),
        pytest.param("x.argsort(stable=False)", [1], id="said_otherwise"),
        pytest.param("x.argsort(stable=True)", [], id="torch_stable"),
        pytest.param("np.argsort(x, kind='stable')", [], id="numpy_stable"),
        pytest.param("np.argsort(order)", [], id="inverse"),
    ],
)
def test_what_counts_as_stable(line, lines):
    assert _unstable(line) == lines


def test_torch_does_reorder_equal_values_from_17_on():
    # Where this fails, torch has become stable, and the rule above costs more than it gives.
    assert torch.ones(16).argsort(descending=True).tolist() == list(range(16))
    assert torch.ones(17).argsort(descending=True).tolist() != list(range(17))
