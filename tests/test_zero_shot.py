import pytest
import torch
from tiny import tiny_batch, tiny_config, tiny_model
from torch.testing import assert_close

import langcell
from langcell.inference import zero_shot
from langcell.inference.zero_shot import encode_labels, score_cells, score_labels

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=[pytest.param(start, id=f"cross_attention_from_{start}") for start in (0, 1, 2)])
def any_model(request):
    return tiny_model(tiny_config(text={"cross_attention_start": request.param}))


@torch.no_grad()
def test_scores_are_what_the_definition_says(any_model, batch):
    scores = score_labels(any_model, **batch, alpha=0.3)
    output = any_model(**batch, return_match_logits=True)
    match = output.match_logits.softmax(-1)[..., 1]
    assert_close(scores.similarity, output.cell_embeds @ output.text_embeds.T / 0.05, **CLOSE)
    assert_close(scores.match, match, **CLOSE)
    assert_close(scores.score, 0.3 * output.logits_per_cell.softmax(1) + 0.7 * match.softmax(1), **CLOSE)
    assert_close(scores.cell_embeds, output.cell_embeds, **CLOSE)


def test_shapes_and_sums(model, batch):
    scores = score_labels(model, **batch)
    for name in ("similarity", "match", "score"):
        assert getattr(scores, name).shape == (5, 3)
    assert_close(scores.score.sum(1), torch.ones(5))
    assert ((scores.match >= 0) & (scores.match <= 1)).all()


def test_alpha_is_the_models_own_when_not_given(batch):
    model = tiny_model(tiny_config(alpha=0.6))
    assert_close(score_labels(model, **batch).score, score_labels(model, **batch, alpha=0.6).score)
    assert not torch.allclose(score_labels(model, **batch).score, score_labels(model, **batch, alpha=0.1).score)


def test_the_ends_of_alpha(model, batch):
    similarity_only, match_only = score_labels(model, **batch, alpha=1.0), score_labels(model, **batch, alpha=0.0)
    assert_close(similarity_only.score, similarity_only.similarity.softmax(1))
    assert_close(match_only.score, match_only.match.softmax(1))


def test_without_reranking_the_match_is_not_evaluated(model, batch):
    scores = score_labels(model, **batch, rerank="none")
    assert scores.match.isnan().all()
    assert_close(scores.score, scores.similarity.softmax(1))
    assert_close(scores.similarity, score_labels(model, **batch).similarity)


@pytest.mark.parametrize("tokens_per_match", [1, 5 * 13 * 2, 10**9])
def test_the_size_of_the_blocks_changes_nothing(any_model, batch, monkeypatch, tokens_per_match):
    expected = score_labels(any_model, **batch)
    monkeypatch.setattr(zero_shot, "_TOKENS_PER_MATCH", tokens_per_match)
    scores = score_labels(any_model, **batch)
    assert_close(scores.match, expected.match, **CLOSE)


def test_each_cell_alone_scores_as_in_the_batch(model, batch):
    expected = score_labels(model, **batch)
    labels = encode_labels(model, batch["input_ids"], batch["attention_mask"])
    assert len(labels) == 3
    for row, length in enumerate(batch["cell_attention_mask"].sum(1)):
        ids = batch["cell_input_ids"][row : row + 1, :length]
        scores = score_cells(model, labels, ids, torch.ones_like(ids))
        assert_close(scores.score[0], expected.score[row], **CLOSE)


def test_the_order_of_labels_only_moves_columns(model, batch):
    expected = score_labels(model, **batch)
    order = [2, 0, 1]
    moved = {**batch, "input_ids": batch["input_ids"][order], "attention_mask": batch["attention_mask"][order]}
    scores = score_labels(model, **moved)
    assert_close(scores.score, expected.score[:, order], **CLOSE)


def test_half_precision_models_give_float32_scores(batch):
    scores = score_labels(tiny_model().to(torch.bfloat16), **batch)
    for name in ("similarity", "match", "score", "cell_embeds"):
        assert getattr(scores, name).dtype == torch.float32
    assert_close(scores.score, score_labels(tiny_model(), **batch).score, rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"alpha": 1.1}, "alpha is 1.1; legal are 0", id="alpha"),
        pytest.param({"rerank": "some"}, "rerank is 'some'; legal are 'full'", id="rerank"),
    ],
)
def test_illegal_options(model, batch, options, message):
    with pytest.raises(ValueError, match=message):
        score_labels(model, **batch, **options)


def test_score_labels_is_part_of_the_package():
    assert langcell.score_labels is score_labels
    assert set(tiny_batch()) == {"cell_input_ids", "cell_attention_mask", "input_ids", "attention_mask"}


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 1.0])
def test_exact_reranking_returns_the_labels_of_the_full_computation(model, alpha):
    generator = torch.Generator().manual_seed(0)
    batch = tiny_batch(n_cells=12)
    # Many labels, so that there is something to save.
    ids = torch.randint(5, model.config.text_config.vocab_size, (60, 6), generator=generator)
    texts = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    full, exact = (score_labels(model, **batch | texts, alpha=alpha, rerank=rerank) for rerank in ("full", "exact"))
    assert exact.score.nan_to_num(-1).argmax(-1).tolist() == full.score.argmax(-1).tolist()
    seen = ~exact.match.isnan()
    assert_close(exact.match[seen], full.match[seen], atol=1e-5, rtol=0)
    assert torch.equal(seen, ~exact.score.isnan())
