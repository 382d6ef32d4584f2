import pytest

from langcell import scoring_langcell
from langcell.inference.scoring import legal_values


def said(check, *values):
    with pytest.raises(ValueError, match=r"legal are|give") as error:
        check(*values)
    return str(error.value)


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_the_hub_file_refuses_alpha_in_the_same_words(alpha):
    assert said(legal_values.check_alpha, alpha) == said(scoring_langcell.check_alpha, alpha)


@pytest.mark.parametrize("values", [("some", 10), ("top-k", 0)])
def test_the_hub_file_refuses_rerank_in_the_same_words(values):
    assert said(legal_values.check_rerank, *values) == said(scoring_langcell.check_rerank, *values)


def test_legal_values_pass():
    for alpha in (None, 0, 0.1, 1):
        legal_values.check_alpha(alpha)
    for rerank in scoring_langcell.RERANKINGS:
        legal_values.check_rerank(rerank, 1)
    legal_values.check_between("share", 0.0)
    legal_values.check_between("share", None, ends=())


def test_the_ends_of_a_share_are_refused_where_they_are_not_legal():
    assert "target_risk is 1" in said(lambda value: legal_values.check_between("target_risk", value, ends=(0,)), 1)
