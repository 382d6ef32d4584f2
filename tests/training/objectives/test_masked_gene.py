import pytest
import torch

from langcell.training.objectives import mask_genes, masked_gene_loss

GENES = range(2, 100)
MASK, CLS, PAD = 1, 100, 0


@pytest.fixture
def cells():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(GENES.start, GENES.stop, (400, 51), generator=generator)
    ids[:, 0] = CLS
    ids[:200, 40:] = PAD
    return ids


def test_special_ids_are_never_chosen_and_never_drawn(cells):
    masked = mask_genes(cells, gene_ids=GENES, mask_token_id=MASK, rate=0.9, generator=torch.Generator().manual_seed(1))
    special = (cells == CLS) | (cells == PAD)
    assert not masked.positions[special].any()
    assert torch.equal(masked.input_ids[special], cells[special])
    drawn = masked.input_ids[masked.positions]
    assert ((drawn == MASK) | ((drawn >= GENES.start) & (drawn < GENES.stop))).all()


def test_shares_are_15_percent_of_genes_and_80_10_10(cells):
    masked = mask_genes(cells, gene_ids=GENES, mask_token_id=MASK, generator=torch.Generator().manual_seed(1))
    genes = ((cells >= GENES.start) & (cells < GENES.stop)).sum()
    assert masked.positions.sum() / genes == pytest.approx(0.15, abs=0.01)
    now, before = masked.input_ids[masked.positions], masked.targets
    assert (now == MASK).float().mean() == pytest.approx(0.8, abs=0.03)
    # One random gene in 98 is the gene itself.
    assert (now == before).float().mean() == pytest.approx(0.1 + 0.1 / 98, abs=0.02)
    assert torch.equal(masked.targets, cells[masked.positions])
    assert torch.equal(masked.input_ids[~masked.positions], cells[~masked.positions])


def test_the_seed_decides(cells):
    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return mask_genes(cells, gene_ids=GENES, mask_token_id=MASK, generator=generator).input_ids

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


@pytest.mark.parametrize("rate", [pytest.param(0.0, id="nothing"), pytest.param(1.0, id="everything")])
def test_impossible_rate_is_refused(cells, rate):
    with pytest.raises(ValueError, match="not between 0 and 1"):
        mask_genes(cells, gene_ids=GENES, mask_token_id=MASK, rate=rate)


def test_loss_is_the_mean_negative_log_probability():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    loss, accuracy = masked_gene_loss(logits, torch.tensor([0, 2]))
    expected = -(logits.log_softmax(1)[0, 0] + logits.log_softmax(1)[1, 2]) / 2
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert accuracy.item() == 0.5


def test_no_masked_position_gives_zero_and_not_nan():
    logits = torch.zeros(0, 7, requires_grad=True)
    loss, accuracy = masked_gene_loss(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0.0
    assert accuracy.item() == 0.0
