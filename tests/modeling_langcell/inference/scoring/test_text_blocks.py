import pytest
import torch
from tiny import tiny_batch, tiny_config, tiny_model
from torch.testing import assert_close

from langcell.inference.scoring import text_blocks
from langcell.inference.scoring.text_blocks import encode_texts, match_all, match_chosen

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
        states = model.text_encoder.states_before_cell(ids, mask)
    return (model, states, mask, cells, batch["cell_attention_mask"]), expected


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
    monkeypatch.setattr(text_blocks, "_TOKENS_PER_ENCODING", tokens)
    model, (ids, mask) = tiny_model(tiny_config(text={"cross_attention_start": start, "pooling": pooling})), texts()
    embeds, before_cell = encode_texts(model, ids, mask)
    expected = model.get_text_features(ids, mask, return_dict=True).pooler_output
    assert_close(embeds, expected, rtol=1e-5, atol=1e-5)
    expected = model.text_encoder.states_before_cell(ids, mask)
    read = mask[:, : expected.shape[1]].bool()
    assert_close(before_cell[read], expected[read], rtol=1e-5, atol=1e-5)
    assert before_cell.isfinite().all()


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
    (model, states, mask, cells, cell_mask), expected = case
    half = tiny_model(model.config).to(torch.bfloat16)
    match = match_all(half, states.bfloat16(), mask, cells.bfloat16(), cell_mask, tokens_per_match=100)
    assert match.dtype == torch.float32
    assert_close(match, expected, rtol=0, atol=0.05)
