import pytest
import torch
from tiny import tiny_batch, tiny_config, tiny_model
from torch.testing import assert_close

from langcell import text_blocks_langcell
from langcell.encoders_langcell import EncodedTexts, TorchEncoders
from langcell.text_blocks_langcell import encode_tokens, match_all, match_chosen

N_CELLS, N_TEXTS, LONGEST = 7, 12, 24


@pytest.fixture(scope="module", params=[pytest.param(start, id=f"cross_attention_from_{start}") for start in (0, 1, 2)])
def case(request):
    """Arguments of the match, and the match probability of all pairs by the model alone."""
    model = tiny_model(tiny_config(text={"cross_attention_start": request.param}))
    batch = tiny_batch(N_CELLS)
    ids, mask = texts()
    with torch.no_grad():
        cells = model.get_cell_states(batch["cell_input_ids"], batch["cell_attention_mask"])
        expected = model.match_all(ids, mask, cells, batch["cell_attention_mask"]).softmax(-1)[..., 1]
        texts_of_model = EncodedTexts(
            model(input_ids=ids, attention_mask=mask).text_embeds,
            mask,
            model.text_encoder.states_before_cell(ids, mask),
        )
        encoders = TorchEncoders(model)
        cells = encoders.encode_cells(batch["cell_input_ids"], batch["cell_attention_mask"])
    return (encoders, texts_of_model, cells), expected


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of texts of different lengths, (texts, tokens)."""
    lengths = torch.arange(1, N_TEXTS + 1) * 2
    lengths = lengths[torch.randperm(N_TEXTS, generator=torch.Generator().manual_seed(0))]
    mask = (torch.arange(LONGEST) < lengths[:, None]).long()
    return torch.randint(5, 40, (N_TEXTS, LONGEST), generator=torch.Generator().manual_seed(1)) * mask, mask


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("tokens", [1, 16_384])
@torch.no_grad()
def test_encoded_texts(monkeypatch, start, pooling, tokens):
    monkeypatch.setattr(text_blocks_langcell, "_TOKENS_PER_ENCODING", tokens)
    model, (ids, mask) = tiny_model(tiny_config(text={"cross_attention_start": start, "pooling": pooling})), texts()
    encoded = encode_tokens(TorchEncoders(model), ids, mask)
    before_cell = encoded.for_match
    expected = model.get_text_features(ids, mask, return_dict=True).pooler_output
    assert_close(encoded.embeds, expected, rtol=1e-5, atol=1e-5)
    expected = model.text_encoder.states_before_cell(ids, mask)
    read = mask[:, : expected.shape[1]].bool()
    assert_close(before_cell[read], expected[read], rtol=1e-5, atol=1e-5)
    assert before_cell.isfinite().all()
    alone = encode_tokens(TorchEncoders(model), ids, mask, for_match=False)
    assert torch.equal(alone.embeds, encoded.embeds)
    with pytest.raises(ValueError, match="for_match=True"):
        _ = alone.lengths


@pytest.mark.parametrize("tokens", [1, 30, 200, 10**6])
@torch.no_grad()
def test_all_pairs(case, tokens):
    arguments, expected = case
    assert_close(match_all(*arguments, tokens_per_match=tokens), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 30, 200, 10**6])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5, 6], [1, 4, 6], [3]])
@pytest.mark.parametrize("k", [1, 5, 12])
@torch.no_grad()
def test_chosen_pairs(case, tokens, rows, k):
    arguments, expected = case
    generator = torch.Generator().manual_seed(k)
    columns = torch.stack([torch.randperm(N_TEXTS, generator=generator)[:k] for _ in rows])
    match = match_chosen(*arguments, tokens_per_match=tokens)(torch.tensor(rows), columns)
    assert_close(match, expected[torch.tensor(rows)[:, None], columns], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_half_precision_gives_float32(case):
    (encoders, encoded, _), expected = case
    half = TorchEncoders(tiny_model(encoders.config).to(torch.bfloat16))
    batch = tiny_batch(N_CELLS)
    cells = half.encode_cells(batch["cell_input_ids"], batch["cell_attention_mask"])
    match = match_all(half, encoded.in_dtype(torch.bfloat16), cells, tokens_per_match=100)
    assert match.dtype == torch.float32
    assert_close(match, expected, rtol=0, atol=0.05)
