import pytest
import torch

from langcell.conversion.tensor_names import LANGCELL_TO_RELEASED, RELEASED_TO_LANGCELL, rename, require_all, translate

ONE = torch.ones(1)


def test_the_table_has_an_inverse():
    assert len(LANGCELL_TO_RELEASED) == len(RELEASED_TO_LANGCELL)
    for theirs in RELEASED_TO_LANGCELL:
        ours = translate(f"{theirs}weight", RELEASED_TO_LANGCELL)
        assert ours is not None
        assert translate(ours, LANGCELL_TO_RELEASED) == f"{theirs}weight"


def test_a_name_that_no_entry_fits():
    assert translate("head.weight", RELEASED_TO_LANGCELL) is None


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("encoder.layer.0.output.LayerNorm.weight", id="plain"),
        pytest.param("bert.encoder.layer.0.output.LayerNorm.weight", id="bert"),
        pytest.param("module.encoder.layer.0.output.LayerNorm.weight", id="data_parallel"),
        pytest.param("module.bert.encoder.layer.0.output.LayerNorm.gamma", id="all_at_once"),
    ],
)
def test_wrappers_and_old_names_are_taken_off(name):
    assert list(rename("cell_bert", {name: ONE}).tensors) == ["cell_encoder.encoder.layer.0.output.LayerNorm.weight"]


def test_every_tensor_is_accounted_for():
    given = {"embeddings.position_ids": ONE, "pooler.dense.bias": ONE, "embeddings.LayerNorm.beta": ONE, "secret": ONE}
    renamed = rename("text_bert", given)
    assert list(renamed.tensors) == ["text_encoder.embeddings.LayerNorm.bias"]
    assert sorted(renamed.ignored) == ["text_bert/embeddings.position_ids", "text_bert/pooler.dense.bias"]
    assert renamed.unknown == ["text_bert/secret"]


def test_the_same_tensor_twice_is_refused():
    with pytest.raises(ValueError, match="given twice, with and without a prefix"):
        rename("cell_proj", {"weight": ONE, "module.weight": ONE})


@pytest.mark.parametrize(
    ("given", "unknown", "message"),
    [
        pytest.param({}, (), r"1 missing: cell_proj/weight", id="missing"),
        pytest.param({"cell_projection.weight": ONE, "odd": ONE}, (), "1 unexpected: odd", id="unexpected"),
        pytest.param({"cell_projection.weight": ONE}, ["x/odd"], "1 unexpected: x/odd", id="unknown"),
        pytest.param({"cell_projection.weight": torch.ones(2)}, (), r"is \(2,\), not \(1,\)", id="shape"),
    ],
)
def test_what_does_not_fit_is_listed(given, unknown, message):
    with pytest.raises(ValueError, match=f"cell does not fit LangCell: .*{message}"):
        require_all(given, {"cell_projection.weight": torch.Size([1])}, unknown=unknown, what="cell")


def test_what_fits_passes():
    require_all({"cell_projection.weight": ONE}, {"cell_projection.weight": torch.Size([1])}, what="cell")
