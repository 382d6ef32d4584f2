"""Texts of a run: codes, rows of paraphrases, and the choice among them."""

import numpy as np
import pytest
import tiny_shards

from langcell.processing.shards.writer import Description
from langcell.training.data.text_table import Descriptions, choose_variants

PLAIN = (
    Description("cell type: b cell. a lymphocyte.; tissue: blood; ", tiny_shards.B_CELL, "", "full"),
    Description("cell type: monocyte; ", tiny_shards.MONOCYTE, "", "synonym"),
)


@pytest.fixture
def descriptions(tmp_path) -> Descriptions:
    return Descriptions.read([tiny_shards.write_tiny_shards(tmp_path / "a", n_cells=10, descriptions=PLAIN)])[0]


def test_without_variants_the_rows_are_the_plain_texts(descriptions):
    assert descriptions.all_texts() == descriptions.texts == [row.text for row in PLAIN]


def test_paraphrases_have_rows_of_their_own_and_variant_0_is_plain(descriptions):
    several = descriptions.paraphrased(6, seed=1, dropout=0.5)
    texts = several.all_texts()
    assert len(texts) == 12
    assert (texts[0], texts[6]) == (PLAIN[0].text, PLAIN[1].text)
    assert len(set(texts[:6])) >= 3
    assert texts == descriptions.paraphrased(6, seed=1, dropout=0.5).all_texts()
    assert texts != descriptions.paraphrased(6, seed=2, dropout=0.5).all_texts()


def test_a_text_that_is_a_paraphrase_itself_is_read_as_it_is(descriptions):
    assert set(descriptions.paraphrased(6, seed=1).all_texts()[6:]) == {PLAIN[1].text}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"variants": 0}, "has 0 texts", id="none"),
        pytest.param({"variants": 1, "dropout": 0.1}, "dropped from paraphrases alone", id="nothing_to_drop"),
        pytest.param({"variants": 2, "dropout": 1.0}, "at least 0 and less than 1", id="dropout"),
    ],
)
def test_wrong_options_are_refused(descriptions, options, message):
    with pytest.raises(ValueError, match=message):
        descriptions.paraphrased(**options, seed=0)


def test_variants_are_chosen_evenly_and_alike_for_equal_codes():
    codes = np.repeat(np.arange(1_000), 2)
    chosen = choose_variants(codes, variants=4, draw=11)
    assert (chosen[::2] == chosen[1::2]).all()
    counts = np.bincount(chosen[::2], minlength=4)
    assert counts.min() > 200
    assert (chosen != choose_variants(codes, variants=4, draw=12)).mean() > 0.6
    assert not choose_variants(codes, variants=1, draw=11).any()
