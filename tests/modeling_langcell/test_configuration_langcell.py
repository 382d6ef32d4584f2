import json
import subprocess
import tomllib
from pathlib import Path

import pytest
from tiny import tiny_config
from warm_python import warm_python

from langcell.configuration_langcell import (
    AUTO_MAP,
    LOWEST_TRANSFORMERS,
    LangCellCellConfig,
    LangCellConfig,
    LangCellTextConfig,
)

ROOT = Path(__file__).resolve().parents[2]


def test_defaults_are_the_released_langcell():
    config = LangCellConfig()
    cell, text = config.cell_config, config.text_config
    assert (cell.num_hidden_layers, cell.hidden_size, cell.num_attention_heads, cell.intermediate_size) == (
        (12, 512, 8, 1024)
    )
    assert (cell.vocab_size, cell.max_position_embeddings, cell.hidden_act) == (25_427, 2048, "relu")
    assert (cell.pad_token_id, cell.mask_token_id, cell.cls_token_id) == (0, 1, 25_426)
    assert (text.num_hidden_layers, text.hidden_size, text.num_attention_heads, text.intermediate_size) == (
        (12, 768, 12, 3072)
    )
    assert (text.vocab_size, text.max_position_embeddings, text.hidden_act) == (30_524, 512, "gelu")
    assert (text.cross_attention_start, text.pooling) == (0, "cls")
    assert (config.projection_dim, config.logit_temperature, config.alpha) == (256, 0.05, 0.1)


def test_save_and_load_keep_every_field(tmp_path):
    saved = tiny_config(
        text={"pooling": "mean", "cross_attention_start": 2}, alpha=0.25, training_cell_types=["CL:0000236"]
    )
    saved.save_pretrained(tmp_path)
    loaded = LangCellConfig.from_pretrained(tmp_path)
    assert isinstance(loaded.cell_config, LangCellCellConfig)
    assert isinstance(loaded.text_config, LangCellTextConfig)
    saved_fields, loaded_fields = saved.to_dict(), loaded.to_dict()
    assert loaded_fields == saved_fields
    assert (loaded.alpha, loaded.training_cell_types) == (0.25, ["CL:0000236"])
    assert (loaded.text_config.pooling, loaded.text_config.cross_attention_start) == ("mean", 2)


def test_saved_config_names_the_code_of_every_auto_class(tmp_path):
    tiny_config().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["auto_map"] == AUTO_MAP


def test_sub_configs_are_taken_as_dicts_and_as_objects():
    from_dicts = LangCellConfig(cell_config={"hidden_size": 64}, text_config={"pooling": "mean"})
    from_objects = LangCellConfig(LangCellCellConfig(hidden_size=64), LangCellTextConfig(pooling="mean"))
    assert from_dicts.to_dict() == from_objects.to_dict()


def test_two_configs_share_nothing():
    one, other = LangCellConfig(), LangCellConfig()
    one.cell_config.hidden_size = 1
    one.auto_map["AutoModel"] = "changed"
    assert other.cell_config.hidden_size == 512
    assert other.auto_map == AUTO_MAP


def test_cls_is_the_last_row_unless_said_otherwise():
    assert LangCellCellConfig(vocab_size=100).cls_token_id == 99
    assert LangCellCellConfig(vocab_size=100, cls_token_id=2).cls_token_id == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: LangCellConfig(alpha=1.5), "alpha is 1.5; legal are 0", id="alpha_above_one"),
        pytest.param(lambda: LangCellConfig(alpha=-0.1), "alpha is -0.1", id="alpha_negative"),
        pytest.param(
            lambda: LangCellTextConfig(pooling="max"), "pooling is 'max'; legal are 'cls' and 'mean'", id="pooling"
        ),
        pytest.param(
            lambda: LangCellTextConfig(num_hidden_layers=6, cross_attention_start=6),
            "cross_attention_start is 6; legal are 0 to 5",
            id="cross_attention_beyond_the_layers",
        ),
        pytest.param(
            lambda: LangCellConfig(text_config={"cross_attention_start": -1}),
            "cross_attention_start is -1",
            id="cross_attention_negative",
        ),
    ],
)
def test_illegal_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("version", "is_old"), [("4.57.3", True), ("5.4.0", True), ("5.5.0", False), ("6.0.dev0", False)]
)
def test_transformers_that_are_too_old_are_refused_in_one_line(version, is_old):
    # The file alone, as of a model folder.
    file = str(ROOT / "modeling_langcell/configuration_langcell.py")
    script = f"import runpy, transformers; transformers.__version__ = {version!r}; runpy.run_path({file!r})"
    done = subprocess.run([warm_python(), "-c", script], capture_output=True, text=True)
    assert (done.returncode != 0) == is_old
    message = f"ImportError: LangCell needs transformers 5.5 or later, and this is {version}: pip install -U "
    assert (message in done.stderr) == is_old


def test_the_cards_name_the_lowest_transformers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"transformers>={LOWEST_TRANSFORMERS},<6" in project["dependencies"]
    cards = [*(ROOT / "hub_cards/cards").glob("*_card.md"), ROOT / "hub_cards/langcell-mini/README.md"]
    said = [
        card.name
        for card in cards
        if f"transformers ({LOWEST_TRANSFORMERS} or later) alone loads it" in card.read_text()
    ]
    assert {"model_card.md", "adapter_card.md", "README.md"} <= set(said)
