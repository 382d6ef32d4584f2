import numpy as np
import pytest
import tiny
import torch
from tiny_labelled import labelled_cells
from torch import nn

from langcell.modeling_langcell import LangCellForCellClassification, LangCellModel
from langcell.processing.cells.anndata_io import open_cells
from langcell.training.fine_tuning.few_shot_data import RankedRows
from langcell.training.fine_tuning.label_learners import ClassLearner, TextLearner
from langcell.training.fine_tuning.label_training import _products, train_on_labels
from langcell.training.fine_tuning.options import TuningOptions


class GeneCounter(nn.Module):
    """A learner of no model: one weight a type and gene, so that what the loop does can be seen."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(tiny.tiny_vocabulary().n_tokens, 3)
        nn.init.zeros_(self.table.weight)
        self.seen: list[torch.Tensor] = []

    def forward(self, batch):
        self.seen.append(batch["codes"])
        return nn.functional.cross_entropy(self._logits(batch), batch["codes"], reduction="none")

    def scores(self, batch):
        return self._logits(batch).softmax(-1)

    def _logits(self, batch):
        mask = batch["cell_attention_mask"].unsqueeze(-1)
        return (self.table(batch["cell_input_ids"]) * mask).sum(1) / mask.sum(1)


@pytest.fixture(scope="module")
def cells():
    adata = labelled_cells(6)
    with open_cells(adata) as source:
        rows = np.arange(adata.n_obs)
        return RankedRows.read(source, rows, rows % 3, tiny.tiny_processor().feature_extractor)


def options(**changes):
    fields = {"steps": 20, "learning_rate": 0.3, "batch_size": 6, "progress": False, **changes}
    return TuningOptions(**fields)


def test_products_are_bfloat16_on_request_and_the_similarity_is_not():
    model = LangCellModel(tiny.tiny_config()).eval()
    whole = tiny.tiny_batch()
    learner = TextLearner(model, {name: whole[name] for name in ("input_ids", "attention_mask")})
    cells = {name: whole[name] for name in ("cell_input_ids", "cell_attention_mask")}
    seen = {}
    for dtype in ("float32", "bfloat16"):
        with _products(learner, options(dtype=dtype)):
            similarity, states, _ = learner._compare(cells)
            seen[dtype] = similarity
            assert learner.model.match_head(states.new_zeros(1, 24)).dtype == getattr(torch, dtype)
    assert seen["bfloat16"].dtype == torch.float32
    assert not torch.equal(seen["bfloat16"], seen["float32"])
    torch.testing.assert_close(seen["bfloat16"], seen["float32"], rtol=0, atol=0.3)


def test_it_learns_and_says_how(cells):
    learner = GeneCounter()
    history = train_on_labels(learner, cells, cells, options())
    assert [row["step"] for row in history] == list(range(1, 21))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["validation_accuracy"] == 1
    assert not learner.training


def test_the_same_seed_gives_the_same_weights(cells):
    weights = []
    for seed in (0, 0, 1):
        learner = GeneCounter()
        train_on_labels(learner, cells, None, options(seed=seed))
        weights.append(learner.table.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_it_stops_when_the_validation_gets_worse_and_keeps_the_best_weights(cells):
    wrong = cells.subset(np.arange(len(cells)), (cells.codes + 1) % 3)
    learner = GeneCounter()
    history = train_on_labels(learner, cells, wrong, options(patience=3))
    losses = [row["validation_loss"] for row in history]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3 < 20
    batch = wrong.pad(wrong.views(np.arange(len(wrong))), np.arange(len(wrong)))
    with torch.no_grad():
        assert float(learner(batch).mean()) == pytest.approx(losses[best], rel=1e-5)


def test_weights_make_rare_types_count_as_much(cells):
    # 6 cells of type 0, 1 of type 1: after one step without balance the bias is towards type 0.
    chosen = np.array([0, 3, 6, 9, 12, 15, 1])
    uneven = cells.subset(chosen, np.array([0] * 6 + [1]))
    gradients = {}
    for balance in ("weights", "none"):
        learner = GeneCounter()
        settings = options(balance=balance, steps=1, batch_size=7, gene_dropout=0.0, max_grad_norm=1e9)
        train_on_labels(learner, uneven, None, settings)
        (codes,) = learner.seen
        assert sorted(codes.tolist()) == [0] * 6 + [1]
        gradients[balance] = learner.table.weight[learner.table.weight.abs().sum(1) > 0]
    assert not torch.allclose(gradients["weights"], gradients["none"])
    learner = GeneCounter()
    train_on_labels(learner, uneven, None, options(balance="sampling", steps=3))
    assert all(sorted(codes.tolist()) == [0, 0, 0, 1, 1, 1] for codes in learner.seen)


def test_a_classification_head_is_trained_at_its_own_rate(cells):
    torch.manual_seed(0)
    learner = ClassLearner(LangCellForCellClassification(tiny.tiny_config(num_labels=3)))
    before = {name: weight.detach().clone() for name, weight in learner.named_parameters()}
    rates = {"learning_rate": 1e-6, "head_learning_rate": 0.1}
    train_on_labels(learner, cells, None, options(steps=3, **rates, dtype="float32", weight_decay=0))
    for name, weight in learner.named_parameters():
        moved = float((weight - before[name]).abs().max().detach())
        assert (moved > 0.01) if ".classifier." in name else (moved < 1e-5), name
