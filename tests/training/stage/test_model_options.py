"""Options that change how a model computes, and not what."""

import importlib.util

import pytest
import torch
from tiny import tiny_batch
from torch.testing import assert_close

from langcell.training.settings.sections import CellText, CellTextMatching, ModelSection, Objectives
from langcell.training.stage.model_options import load_start_model
from langcell.training.stage.stage import PretrainingStage

ALL = Objectives(cell_text=CellText(weight=1.0), cell_text_matching=CellTextMatching(weight=1.0))


def loss_and_gradients(folder, **options):
    model = load_start_model(ModelSection(path=str(folder), **options))
    batch = tiny_batch(6)
    own = torch.arange(6) % 3
    codes = {"cell_description": own, "cell_type": own, "own_text": own}
    batch |= codes | {"text_description": torch.arange(3), "text_type": torch.arange(3)}
    torch.manual_seed(0)  # of the masks, the negatives and the dropout
    loss = PretrainingStage(model, ALL).train()(batch)["loss"]
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"activation_checkpointing": True}, id="activation_checkpointing"),
        pytest.param({"attention": "eager"}, id="eager"),
    ],
)
def test_options_do_not_change_the_gradients(tiny_model_dir, options):
    loss, gradients = loss_and_gradients(tiny_model_dir)
    other_loss, others = loss_and_gradients(tiny_model_dir, **options)
    assert gradients.keys() == others.keys()
    assert_close(other_loss, loss)
    for name, gradient in gradients.items():
        assert_close(others[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_activation_checkpointing_keeps_less(tiny_model_dir):
    def kept(**options):
        model = load_start_model(ModelSection(path=str(tiny_model_dir), **options)).train()
        sizes: dict[int, int] = {}

        def pack(tensor):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        batch = tiny_batch(6)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            states = model.get_cell_states(batch["cell_input_ids"], batch["cell_attention_mask"])
        del states
        return sum(size for place, size in sizes.items() if place not in weights)

    assert kept(activation_checkpointing=True) < 0.5 * kept()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # while it traces, torch itself does what it warns about
def test_compiled_layers_give_the_same_gradients_and_keep_their_names(tiny_model_dir):
    plain = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    results = []
    for compiled in (False, True):
        torch._dynamo.reset()
        model = load_start_model(ModelSection(path=str(tiny_model_dir), compile=compiled))
        for module in model.modules():  # compiled dropout draws other numbers
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        vars(model.config.cell_config).update(plain)
        batch = tiny_batch(4)
        for length in (8, 11):  # other lengths are no other graphs
            ids, mask = (batch[name][:, :length] for name in ("cell_input_ids", "cell_attention_mask"))
            states = model.train().get_cell_states(ids, mask)
        states.square().mean().backward()
        results.append({name: p.grad for name, p in model.named_parameters()})
    eager, compiled = results
    assert eager.keys() == compiled.keys()
    for name, gradient in eager.items():
        if gradient is not None:
            assert_close(compiled[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_flash_attention_that_is_not_installed_is_refused(tiny_model_dir):
    if importlib.util.find_spec("flash_attn"):
        pytest.skip("flash-attn is installed")
    with pytest.raises(ValueError, match="needs the package flash-attn, which is not installed"):
        load_start_model(ModelSection(path=str(tiny_model_dir), attention="flash_attention_2"))


def test_a_compiler_that_is_not_there_is_said_in_one_line(tiny_model_dir, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler"):
        load_start_model(ModelSection(path=str(tiny_model_dir), compile=True))


def test_no_model_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="is no folder; give the folder of the LangCell model to start from"):
        load_start_model(ModelSection(path=str(tmp_path / "none")))
