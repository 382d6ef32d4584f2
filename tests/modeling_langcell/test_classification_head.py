"""`LangCellForCellClassification` learns classes, several labels per cell and numbers, by transformers' Trainer too."""

import pytest
import torch
from tiny import tiny_batch, tiny_config, tiny_processor
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from langcell.modeling_langcell import LangCellForCellClassification, LangCellForPreTraining
from langcell.training.data.data_collator import DataCollatorForCells

CELLS = {name: tensor for name, tensor in tiny_batch().items() if name.startswith("cell_")}
NUMBERS = torch.tensor([0.7, -3.0, 1.0, 2.0, 0.0])
SEVERAL = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]])


def classifier(**options):
    torch.manual_seed(0)
    return LangCellForCellClassification(tiny_config(**options)).eval()


@pytest.mark.parametrize("problem_type", [None, "regression"])
@pytest.mark.parametrize("labels", [NUMBERS, NUMBERS[:, None], NUMBERS.double()], ids=["row", "column", "double"])
def test_one_label_is_a_regression(problem_type, labels):
    model = classifier(num_labels=1, problem_type=problem_type)
    output = model(**CELLS, labels=labels)
    assert_close(output.loss, F.mse_loss(output.logits[:, 0], NUMBERS))
    output.loss.backward()
    assert model.classifier.weight.grad.abs().max() > 1e-3
    assert model.config.problem_type == "regression"


def test_whole_numbers_are_numbers_in_a_regression():
    output = classifier(num_labels=1)(**CELLS, labels=torch.arange(5))
    assert_close(output.loss, F.mse_loss(output.logits[:, 0], torch.arange(5.0)))


@pytest.mark.parametrize("problem_type", [None, "multi_label_classification"])
def test_several_labels_per_cell(problem_type):
    labels = SEVERAL.float() if problem_type is None else SEVERAL
    output = classifier(num_labels=3, problem_type=problem_type)(**CELLS, labels=labels)
    assert_close(output.loss, F.binary_cross_entropy_with_logits(output.logits, SEVERAL.float()))


def test_classes_are_as_before():
    labels = torch.tensor([0, 2, -100, 1, 0])
    model = classifier(num_labels=3)
    output = model(**CELLS, labels=labels)
    assert_close(output.loss, F.cross_entropy(output.logits, labels), rtol=0, atol=0)
    assert model.config.problem_type == "single_label_classification"


@pytest.mark.parametrize(
    ("options", "labels", "message"),
    [
        pytest.param({"num_labels": 1}, SEVERAL.float(), "takes one number for each cell", id="many_for_one"),
        pytest.param({"num_labels": 3}, SEVERAL, "takes one class for each cell", id="several_without_a_type"),
        pytest.param({"num_labels": 3}, NUMBERS, "takes 3 numbers for each cell", id="one_for_several"),
        pytest.param({"num_labels": 3}, SEVERAL.float().T, "takes 3 numbers for each cell", id="the_wrong_way_round"),
        pytest.param(
            {"num_labels": 3, "problem_type": "single_label_classification"},
            torch.zeros(5),
            "float32 for 5 cells; this model takes one class for each cell, a whole number",
            id="fractions_for_classes",
        ),
    ],
)
def test_labels_that_do_not_fit(options, labels, message):
    with pytest.raises(ValueError, match=message) as error:
        classifier(**options)(**CELLS, labels=labels)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("labels", [torch.zeros(5), torch.zeros(5, dtype=torch.int64)])
def test_an_illegal_problem_type_is_one_line_with_the_legal_ones(labels):
    model = classifier(num_labels=3)
    vars(model.config)["problem_type"] = "nonsense"  # huggingface_hub 1 refuses it when it is set
    with pytest.raises(ValueError, match=r"problem_type is 'nonsense'; legal are 'regression', 'single_label") as error:
        model(**CELLS, labels=labels)
    assert "'multi_label_classification'" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("labels", [SEVERAL[:, 0], SEVERAL[:, :1].float()], ids=["row", "column"])
def test_one_label_that_a_cell_has_or_has_not(labels):
    output = classifier(num_labels=1, problem_type="multi_label_classification")(**CELLS, labels=labels)
    assert_close(output.loss, F.binary_cross_entropy_with_logits(output.logits[:, 0], SEVERAL[:, 0].float()))


def test_classes_of_any_whole_type():
    output = classifier(num_labels=3)(**CELLS, labels=torch.tensor([0, 2, 1, 1, 0], dtype=torch.int16))
    assert_close(output.loss, F.cross_entropy(output.logits, torch.tensor([0, 2, 1, 1, 0])), rtol=0, atol=0)


# Trainer


def rows(labels):
    """Cells of different lengths with labels, and a column that no model reads."""
    ids = [row[mask == 1].tolist() for row, mask in zip(*CELLS.values(), strict=True)]
    return [{"cell_input_ids": cell, "labels": label, "donor": "d1"} for cell, label in zip(ids, labels, strict=True)]


def trained(model, data, collator, folder):
    arguments = TrainingArguments(
        str(folder),
        max_steps=12,
        per_device_train_batch_size=2,
        learning_rate=3e-3,
        report_to=[],
        use_cpu=True,
        seed=0,
        logging_steps=1,
        save_strategy="no",
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=data, eval_dataset=data, data_collator=collator)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    return before, trainer.evaluate()["eval_loss"], trainer


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        pytest.param({"num_labels": 3}, [0, 1, 2, 1, 0], id="classes"),
        pytest.param({"num_labels": 1}, NUMBERS.tolist(), id="regression"),
        pytest.param(
            {"num_labels": 3, "problem_type": "multi_label_classification"}, SEVERAL.float().tolist(), id="several"
        ),
    ],
)
@pytest.mark.parametrize("collator", [DataCollatorWithPadding, DataCollatorForCells])
def test_trainer_trains_the_classifier(tmp_path, options, labels, collator):
    collate = collator(tiny_processor().feature_extractor)
    before, after, trainer = trained(classifier(**options), rows(labels), collate, tmp_path)
    assert after < before
    assert trainer.predict(rows(labels)).predictions.shape == (5, options["num_labels"])
    trainer.save_model()
    assert LangCellForCellClassification.from_pretrained(tmp_path).num_labels == options["num_labels"]


def test_trainer_trains_on_hidden_genes(tmp_path):
    torch.manual_seed(0)
    model = LangCellForPreTraining(tiny_config())
    cells = [{"cell_input_ids": row["cell_input_ids"]} for row in rows([0] * 5)] * 4
    collate = DataCollatorForCells(tiny_processor(), mask_rate=0.3)
    _, _, trainer = trained(model, cells, collate, tmp_path)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 12
    assert sum(losses[-4:]) < sum(losses[:4])
