import numpy as np
import pytest
import torch
from tiny import tiny_batch, tiny_config, tiny_model, tiny_processor
from torch.testing import assert_close

import langcell
from langcell.encoders_langcell import TorchEncoders
from langcell.inference.classification import LoadedClassifier
from langcell.inference.scoring.zero_shot import score_labels
from langcell.loading.load import LoadedLangCell
from langcell.modeling_langcell import LangCellForCellClassification
from langcell.processing.labels.resolve import labels_under, resolve_labels
from langcell.processing.ontology.terms import Ontology
from langcell.sample_data import BULK_LABELS, sample_cells
from langcell.scoring_langcell import EncodedLabels, combine_scores, score_cells
from langcell.text_blocks_langcell import encode_tokens

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=[pytest.param(start, id=f"cross_attention_from_{start}") for start in (0, 1, 2)])
def any_model(request):
    return tiny_model(tiny_config(text={"cross_attention_start": request.param}))


def encode_labels(model, input_ids, attention_mask):
    return EncodedLabels(encode_tokens(TorchEncoders(model), input_ids, attention_mask))


def test_what_load_returned_is_taken_for_its_model(bundled):
    batch = dict(bundled.processor(cells=[[42, 3, 4], [42, 9]], text=["b cell", "neuron"], return_tensors="pt"))
    scores = score_labels(bundled, **batch, rerank="none").score
    assert_close(scores, score_labels(bundled.model, **batch, rerank="none").score, rtol=0, atol=0)


def test_a_classifier_is_refused_in_one_line(batch):
    classifier = LangCellForCellClassification(tiny_config(num_labels=3))
    for use in (
        lambda: score_labels(classifier, **batch),
        lambda: LoadedLangCell(classifier, tiny_processor(), "tiny", "0"),
        lambda: langcell.embed_texts(["b cell"], model=LoadedClassifier(classifier, tiny_processor(), "tiny", "0")),
    ):
        with pytest.raises(ValueError, match="LangCellForCellClassification reads no text; load the model with Auto"):
            use()


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


@pytest.mark.parametrize("rerank", ["exact", "top-k"])
def test_where_the_match_counts_nothing_it_is_not_evaluated(model, batch, rerank):
    full = score_labels(model, **batch, alpha=1.0, rerank="full")
    early = score_labels(model, **batch, alpha=1.0, rerank=rerank, k=1)
    assert early.match.isnan().all()
    assert not full.match.isnan().any()
    assert_close(early.score, full.score)
    assert_close(combine_scores(early.similarity, early.match, alpha=1.0), full.score)


@pytest.mark.parametrize("tokens_per_match", [1, 5 * 13 * 2, 10**9])
@pytest.mark.parametrize("rerank", ["full", "exact"])
def test_the_size_of_the_blocks_changes_nothing(any_model, batch, rerank, tokens_per_match):
    expected = score_labels(any_model, **batch, rerank=rerank)
    labels = encode_labels(any_model, batch["input_ids"], batch["attention_mask"])
    cells = batch["cell_input_ids"], batch["cell_attention_mask"]
    scores = score_cells(TorchEncoders(any_model), labels, *cells, rerank=rerank, tokens_per_match=tokens_per_match)
    assert_close(scores.match, expected.match, **CLOSE, equal_nan=True)


def test_each_cell_alone_scores_as_in_the_batch(model, batch):
    expected = score_labels(model, **batch)
    labels = encode_labels(model, batch["input_ids"], batch["attention_mask"])
    assert len(labels) == 3
    for row, length in enumerate(batch["cell_attention_mask"].sum(1)):
        ids = batch["cell_input_ids"][row : row + 1, :length]
        scores = score_cells(TorchEncoders(model), labels, ids, torch.ones_like(ids))
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
        pytest.param({"rerank": "top-k", "k": 0}, "k is 0; give the number of labels", id="k"),
    ],
)
def test_illegal_options(model, batch, options, message):
    with pytest.raises(ValueError, match=message):
        score_labels(model, **batch, **options)


def test_score_labels_is_part_of_the_package():
    assert langcell.score_labels is score_labels
    assert set(tiny_batch()) == {"cell_input_ids", "cell_attention_mask", "input_ids", "attention_mask"}


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9])
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


def plain_scores(model, batch, alpha):
    """As the released code does it: every text alone is encoded again with every cell, nothing shared or left out."""
    cells = batch["cell_input_ids"], batch["cell_attention_mask"]
    cell_states = model.get_cell_states(*cells)
    cell_embeds = model.project_cells(cell_states, cells[1])
    similarity, match = [], []
    for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
        text = ids[mask.bool()][None]
        states = model.text_encoder(text).last_hidden_state
        similarity.append(cell_embeds @ model.project_texts(states)[0] / 0.05)
        repeated = text.expand(len(cell_states), -1)
        states = model.text_encoder(repeated, None, cell_states, cells[1]).last_hidden_state
        match.append(model.match_head(states[:, 0]).softmax(-1)[:, 1])
    similarity, match = torch.stack(similarity, 1), torch.stack(match, 1)
    return similarity, match, alpha * similarity.softmax(1) + (1 - alpha) * match.softmax(1)


@pytest.fixture(scope="module")
def bundled():
    return langcell.load(device="cpu")


@torch.no_grad()
@pytest.mark.parametrize("alpha", [0.1, 0.5])
@pytest.mark.parametrize("rerank", ["full", "exact"])
@pytest.mark.parametrize("weights", ["random", "bundled"])
def test_scores_equal_the_plain_loop_over_the_labels(weights, rerank, alpha, model, batch, request):
    if weights == "bundled":
        loaded = request.getfixturevalue("bundled")
        model, cells = loaded.model, sample_cells()[:4].copy()
        texts = [label.text for label in resolve_labels(list(BULK_LABELS.values()))]
        batch = dict(loaded.processor(cells=cells, text=texts, return_tensors="pt"))
    similarity, match, score = plain_scores(model, batch, alpha)
    scores = score_labels(model, **batch, alpha=alpha, rerank=rerank)
    assert_close(scores.similarity, similarity, rtol=0, atol=1e-4 if weights == "bundled" else 1e-5)  # cos / 0.05
    seen = ~scores.match.isnan()
    assert seen.all() or rerank == "exact"
    assert_close(scores.match[seen], match[seen], rtol=0, atol=1e-5)
    assert scores.score.nan_to_num(-1).argmax(1).tolist() == score.argmax(1).tolist()
    whole = seen.all(1)
    assert_close(scores.score[whole], score[whole], rtol=0, atol=1e-5)


def test_top_k_looks_at_the_most_similar_labels_only(model, batch):
    full, top = score_labels(model, **batch), score_labels(model, **batch, rerank="top-k", k=2)
    least_similar = full.similarity.argmin(1, keepdim=True)
    expected = full.match.scatter(1, least_similar, torch.nan)
    assert_close(top.match, expected, **CLOSE, equal_nan=True)
    assert torch.equal(top.score.isnan(), top.match.isnan())
    all_of_them = score_labels(model, **batch, rerank="top-k", k=99)
    assert_close(all_of_them.score, full.score, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_embeddings_have_unit_length_in_float32_whatever_the_model_computes_in(batch, dtype):
    embeds = score_labels(tiny_model().to(dtype), **batch, rerank="none").cell_embeds
    assert_close(embeds.norm(dim=1), torch.ones(5), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def two_hundred_types(bundled):
    """200 types, encoded once: their definitions are most of the work."""
    types = bundled.config.training_cell_types
    labels = labels_under("CL:0000000", among=types, ontology=Ontology.cellxgene())[:200]
    tokens = bundled.processor(text=[label.text for label in labels], return_tensors="pt")
    return encode_labels(bundled.model, tokens["input_ids"], tokens["attention_mask"])


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_exact_names_real_cells_as_full_does(bundled, two_hundred_types, alpha):
    chosen = np.random.default_rng(0).choice(700, 24, replace=False)
    cells = bundled.processor(cells=sample_cells()[chosen].copy(), return_tensors="pt")
    full, exact = (
        score_cells(bundled.encoders, two_hundred_types, **cells, alpha=alpha, rerank=rerank)
        for rerank in ("full", "exact")
    )
    assert exact.score.nan_to_num(-1).argmax(1).tolist() == full.score.argmax(1).tolist()
    assert (~exact.match.isnan()).float().mean() <= 0.15
    seen = ~exact.score.isnan()
    assert (exact.score[seen] <= full.score[seen] + 1e-6).all()
