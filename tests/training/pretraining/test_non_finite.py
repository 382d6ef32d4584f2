import pytest
import tiny
import tiny_runs
import tiny_shards
import torch

from langcell.modeling_langcell import LangCellForPreTraining
from langcell.training.pretrain import main
from langcell.training.pretraining.non_finite import NonFiniteSteps

pytestmark = pytest.mark.usefixtures("fresh_accelerate")

LONGEST = 20  # the tiny cells have 5 to 20 ids


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """A run whose model cannot read cells of the greatest length: position 19 is not a number."""
    home = tmp_path_factory.mktemp("run")
    model = LangCellForPreTraining.from_pretrained(tiny.save_tiny_folder(home / "model"))
    with torch.no_grad():
        model.cell_encoder.embeddings.position_embeddings.weight[LONGEST - 1] = torch.nan
    model.save_pretrained(home / "model")
    shards = tiny_shards.write_tiny_shards(home / "shards")

    def of(output_dir, *overrides):
        return tiny_runs.arguments(1, output_dir, "steps=12", *overrides, model=home / "model", shards=shards)

    return of


def test_bad_steps_are_counted_and_good_ones_begin_anew(tmp_path):
    steps = NonFiniteSteps(most_in_a_row=3, folder=tmp_path, rank=0)
    good, bad = torch.tensor(1.0), torch.tensor(torch.nan)
    judged = [
        steps.judge(loss=loss, norm=norm, step=1, batches=[])
        for loss, norm in [(good, good), (bad, good), (good, bad), (good, good), (torch.tensor(torch.inf), good)]
    ]
    assert judged == [True, False, False, True, False]
    assert (steps.in_total, steps.in_a_row) == (3, 1)
    assert not list(tmp_path.iterdir())


def test_a_bad_step_is_skipped_and_the_weights_stay_finite(tmp_path, options):
    assert main(options(tmp_path, "max_bad_steps=9")) == 0
    log = tiny_runs.log_of(tmp_path)
    skipped = log[-1]["skipped"]
    assert 0 < skipped < 12
    assert skipped == sum(line["loss"] != line["loss"] for line in log)
    weights = tiny_runs.weights_of(tmp_path)
    poisoned = weights.pop("cell_encoder.embeddings.position_embeddings.weight")
    assert torch.isfinite(poisoned[: LONGEST - 1]).all()
    assert all(torch.isfinite(weight).all() for weight in weights.values())


@pytest.mark.slow
def test_all_ranks_stop_at_the_same_step_with_their_batches(tmp_path, options):
    said = tiny_runs.finish(tiny_runs.start(options(tmp_path, "max_bad_steps=1", "batch.size=4"), ranks=2), code=1)
    assert said.count("Loss or gradient was not finite for 1 steps in a row") == 1
    saved = [torch.load(tmp_path / f"bad-batch-0000{rank}.pt", weights_only=True) for rank in range(2)]
    assert saved[0]["step"] == saved[1]["step"]
    longest = [max(batch["cell_input_ids"].shape[1] for batch in each["batches"]) for each in saved]
    assert max(longest) == LONGEST
