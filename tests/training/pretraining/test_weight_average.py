import pytest
import torch
from torch import nn
from torch.testing import assert_close

from langcell.training.pretraining.weight_average import WeightAverage


@pytest.fixture
def model():
    model = nn.Linear(1, 1)
    model.bias.requires_grad_(False)
    return model


def test_it_follows_the_weights(model):
    average = WeightAverage(model, 0.9)
    expected = 0.0
    for step in range(30):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update()
        decay = min(0.9, (1 + step) / (10 + step)) if step else 0.0
        expected = decay * expected + (1 - decay) * step
    with average.in_place():
        assert_close(model.weight.item(), expected)
    assert 20 < expected < 29  # behind the weights, but not by far
    assert model.weight.item() == 29.0
    assert set(average.averages) == {"weight"}, "what is not trained needs no average"


def test_weights_are_the_same_bits_after_an_error_in_the_block(model):
    average = WeightAverage(model, 0.9)
    before = model.weight.detach().clone()
    with torch.no_grad():
        average.averages["weight"].fill_(7.0)

    def fail_inside():
        with average.in_place():
            assert model.weight.item() == 7.0
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail_inside()
    assert torch.equal(model.weight, before)
    assert average.averages["weight"].item() == 7.0


def test_it_goes_on_from_what_was_saved(model):
    one, other = WeightAverage(model, 0.9), WeightAverage(model, 0.9)
    for _ in range(3):
        one.update()
    other.load({name: tensor.clone() for name, tensor in one.averages.items()}, updates=one.updates)
    with torch.no_grad():
        model.weight.add_(1.0)
    one.update()
    other.update()
    assert torch.equal(one.averages["weight"], other.averages["weight"])
