import pytest

from langcell.training.fine_tuning.options import LEARNING_RATES, NEW_HEAD_LEARNING_RATE, TuningOptions


@pytest.mark.parametrize(
    ("option", "message"),
    [
        pytest.param({"method": "qlora"}, r"method is 'qlora'; legal are lora, full, head", id="method"),
        pytest.param({"task": "match"}, r"task is 'match'; legal are text, classification", id="task"),
        pytest.param({"balance": "yes"}, r"balance is 'yes'; legal are sampling, weights, none", id="balance"),
        pytest.param({"shots": 0}, r"shots is 0; give 1 or more", id="shots"),
        pytest.param({"steps": 0}, r"steps is 0; give 1 or more", id="steps"),
        pytest.param({"lora_rank": 0}, r"lora_rank is 0; give 1 or more", id="rank"),
        pytest.param(
            {"method": "full", "lora_rank": 4}, r"lora_rank is 4, which is for method 'lora'", id="rank without lora"
        ),
        pytest.param({"lora_alpha": 0.0}, r"lora_alpha is 0\.0; give a positive number", id="alpha"),
        pytest.param({"learning_rate": float("nan")}, r"learning_rate is nan; give a positive", id="learning rate"),
        pytest.param({"gene_dropout": 1.0}, r"gene_dropout is 1\.0; legal are 0 to below 1", id="gene dropout"),
        pytest.param({"validation_share": -0.1}, r"validation_share is -0\.1; legal are 0", id="validation share"),
        pytest.param({"strength": 0.0}, r"strength is 0\.0; give a share above 0, at most 1", id="strength"),
        pytest.param({"weight_decay": -1.0}, r"weight_decay is -1\.0; give 0 or more", id="weight decay"),
    ],
)
def test_an_illegal_option_is_named_with_what_is_legal(option, message):
    with pytest.raises(ValueError, match=message):
        TuningOptions(**option)


def test_steps_grow_with_the_cells_and_rates_go_by_method():
    options = TuningOptions(batch_size=16)
    assert options.completed(45).steps == options.completed(80).steps
    assert options.completed(16_001).steps == 3_001
    assert options.completed(45).learning_rate == LEARNING_RATES["lora"]
    assert TuningOptions(method="full").completed(45).learning_rate == LEARNING_RATES["full"]
    given = TuningOptions(steps=7, learning_rate=0.5, head_learning_rate=0.25, strength=0.75)
    assert given.completed(10_000) == given


@pytest.mark.parametrize(
    ("options", "is_cautious", "strength"),
    [
        pytest.param({}, True, 0.5, id="lora_with_text"),
        pytest.param({}, False, 1.0, id="cells_held_out"),
        pytest.param({"strength": 0.8}, True, 0.8, id="given"),
        pytest.param({"method": "full"}, True, 1.0, id="full"),
        pytest.param({"task": "classification"}, True, 1.0, id="classification"),
    ],
)
def test_a_cautious_fine_tuning_goes_halfway(options, is_cautious, strength):
    assert TuningOptions(**options).completed(45, is_cautious=is_cautious).strength == strength


def test_a_classification_head_learns_at_its_own_rate():
    assert TuningOptions().completed(45).head_learning_rate == NEW_HEAD_LEARNING_RATE
    assert TuningOptions(learning_rate=0.5).completed(45).head_learning_rate == 0.5
    both = TuningOptions(learning_rate=0.5, head_learning_rate=0.25).completed(45)
    assert (both.learning_rate, both.head_learning_rate) == (0.5, 0.25)
    with pytest.raises(ValueError, match=r"head_learning_rate is 0; give a positive number\."):
        TuningOptions(head_learning_rate=0)
