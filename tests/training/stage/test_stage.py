import json

import pytest
import torch
from tiny import save_tiny_folder, tiny_model
from torch import nn

from langcell.training.settings.sections import CellCell, CellText, MaskedGene, ModelSection, Objectives, PretrainConfig
from langcell.training.stage.stage import LOSSES_OF_PART, active_losses, build_stage, freeze


def config(folder, *, stage=2, objectives=None, patterns=()):
    return PretrainConfig(
        stage=stage,
        output_dir="unused",
        steps=1,
        model=ModelSection(path=str(folder)),
        objectives=objectives or Objectives(),
        freeze=list(patterns),
    )


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_only_losses_with_a_weight_are_active():
    objectives = Objectives(masked_gene=MaskedGene(weight=0), cell_text=CellText(weight=0.25))
    on = active_losses(objectives)
    assert "masked_gene" not in on
    assert on["cell_text"] == 0.25


@pytest.mark.parametrize("part", list(LOSSES_OF_PART))
def test_the_table_of_parts_names_parameters(part):
    freeze(tiny_model(), patterns=[part])  # raises where a pattern finds nothing


def test_freeze_marks_what_the_patterns_find():
    model = tiny_model()
    freeze(model, patterns=[r"^text_encoder\.", "bias$"])
    left = trained(model)
    assert left
    assert not any(name.startswith("text_encoder.") or name.endswith("bias") for name in left)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        pytest.param("^no_such_part", "finds no parameter. Names look like: ", id="finds_nothing"),
        pytest.param("(", "is no regular expression", id="no_regular_expression"),
    ],
)
def test_patterns_that_are_refused(pattern, message):
    with pytest.raises(ValueError, match=message):
        freeze(tiny_model(), patterns=[pattern])


def test_stage_1_trains_no_text_part(tiny_model_dir):
    objectives = Objectives()
    objectives.cell_text.weight = objectives.cell_text_matching.weight = 0
    left = trained(build_stage(config(tiny_model_dir, stage=1, objectives=objectives)).model)
    assert {name.split(".")[0] for name in left} == {"cell_encoder", "cell_projection", "masked_gene_head"}


def test_a_part_that_no_loss_reaches_is_frozen(tiny_model_dir):
    objectives = Objectives()
    objectives.masked_gene.weight = objectives.cell_text_matching.weight = 0
    objectives.cell_text.weight = 1
    left = trained(build_stage(config(tiny_model_dir, objectives=objectives)).model)
    assert not any(name.startswith(("masked_gene_head.", "match_head.")) or "crossattention" in name for name in left)
    assert any(name.startswith("text_projection.") for name in left)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"model\.path .* holds no LangCell model"):
        build_stage(config(tmp_path))


def test_nothing_left_to_train_is_refused(tiny_model_dir):
    with pytest.raises(ValueError, match="Nothing is left to train"):
        build_stage(config(tiny_model_dir, patterns=["."]))


def test_a_frozen_part_gets_no_gradient():
    model = tiny_model()
    freeze(model, patterns=["^cell_encoder"])
    model.get_cell_features(torch.tensor([[41, 3, 4]]), return_dict=True).pooler_output.sum().backward()
    assert all(parameter.grad is None for parameter in model.cell_encoder.parameters())
    assert model.cell_projection.weight.grad is not None


def test_a_cell_is_not_contrasted_with_itself(tmp_path):
    def ask(dropout, **options):
        folder = save_tiny_folder(tmp_path / str(dropout))
        read = json.loads((folder / "config.json").read_text())
        read["cell_config"] |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": 0.0}
        (folder / "config.json").write_text(json.dumps(read))
        objectives = Objectives(cell_cell=CellCell(**options), masked_gene=MaskedGene(weight=0))
        return build_stage(config(folder, stage=1, objectives=objectives))

    with pytest.raises(ValueError, match="two equal views of every cell: the model has no dropout") as caught:
        ask(0.0)
    assert "\n" not in str(caught.value)
    assert "cell_cell" in ask(0.1).on
    assert "cell_cell" in ask(0.0, positives="cell_type").on
