import pytest
from places import ROOT

from langcell.training.settings.files import KNOWN_AS, _all_keys, load_config, save_config
from langcell.training.settings.sections import PretrainConfig

CONFIGS = ROOT / "training" / "configs"
MINI = CONFIGS / "stage2-mini.yaml"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_that_comes_with_the_project_is_legal(path):
    config = load_config(path)
    assert config.model.path
    assert config.data
    assert f"stage{config.stage}" in path.stem


def test_overrides_reach_sections_lists_and_types():
    overrides = [
        "batch.size=64",
        "data.0.path=shards/other",
        "optimizer.lr=1e-4",
        "precision=no",
        "optimizer.betas=[0.8, 0.9]",
    ]
    config = load_config(MINI, overrides=[*overrides, "freeze=[]"])
    assert config.batch.size == 64
    assert config.data[0].path == "shards/other"
    assert config.optimizer.lr == 1e-4
    assert config.precision == "no"
    assert config.optimizer.betas == (0.8, 0.9)
    assert config.freeze == []


@pytest.mark.parametrize("written", ["1e3", "1.0e3", "1000.0", "1000"])
def test_whole_numbers_however_they_are_written(written):
    steps = load_config(MINI, overrides=[f"steps={written}"]).steps
    assert (steps, type(steps)) == (1000, int)


def test_a_large_seed_stays_exact():
    assert load_config(MINI, overrides=[f"seed={2**62 + 1}"]).seed == 2**62 + 1


def test_what_other_trainers_call_a_key_is_a_key_here():
    everything = list(_all_keys(PretrainConfig))
    assert set(KNOWN_AS.values()) <= set(everything)
    assert not KNOWN_AS.keys() & set(everything)


def test_a_saved_config_reads_back_equal(tmp_path):
    config = load_config(MINI, overrides=["data=[{path: a, weight: 2}, {path: b}]"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("batch.sise=64", r"batch\.sise\. Did you mean batch\.size\?", id="unknown_key_in_a_section"),
        pytest.param("stepps=64", r"stepps\. Did you mean steps\?", id="unknown_key_at_the_top"),
        pytest.param("optimizer.learning_rate=1", r"Did you mean optimizer\.lr\?", id="key_written_in_full"),
        pytest.param("lr=1", r"Unknown config key lr\. Did you mean optimizer\.lr\?", id="key_of_another_section"),
        pytest.param("weight_decay=1", r"Did you mean optimizer\.weight_decay\?", id="key_without_its_section"),
        pytest.param("learning_rate=1", r"Did you mean optimizer\.lr\?", id="key_in_full_of_another_section"),
        pytest.param(
            "gradient_checkpointing=true", r"Did you mean model\.activation_checkpointing\?", id="like_another_section"
        ),
        pytest.param("batchsize=3", r"Did you mean batch\.size\?", id="section_and_key_run_together"),
        pytest.param("batch_size=3", r"Did you mean batch\.size\?", id="section_and_key_with_another_sign"),
        pytest.param("optimiser.lr=1", r"Did you mean optimizer\?", id="section_misspelt"),
        pytest.param("max_grad_norm=1", r"Did you mean optimizer\.grad_clip\?", id="name_in_other_trainers"),
        pytest.param("data=[{pth: x}]", r"Did you mean data\.0\.path\?", id="key_of_an_item"),
        pytest.param("batch=3", r"batch is a section; its keys: size, accumulate, ", id="section_as_a_value"),
        pytest.param("data=3", r"data is 3; legal: a list of {path, weight}\.", id="no_list"),
        pytest.param("data=[x]", r"data\.0 is a section; its keys: path, weight", id="item_as_a_value"),
        pytest.param("optimizer.betas=1", r"betas is 1; legal: \[float, float\]", id="no_pair"),
        pytest.param("steps=1.5", r"steps is 1\.5; legal: int", id="part_of_a_step"),
        pytest.param("steps=.inf", r"steps is inf; legal: int", id="endless"),
        pytest.param("objectives.cell_text.weight=-1", r"weight is -1\.0; it has to be at least 0", id="out_of_range"),
        pytest.param("batch={size: 1", r"Override batch cannot be read as yaml: did not find", id="no_yaml"),
        pytest.param("batch.size=many", r"batch\.size is 'many'; legal: int", id="wrong_type"),
        pytest.param("batch.size=true", r"batch\.size is True; legal: int", id="bool_is_no_int"),
        pytest.param("precision=fp8", r"legal: one of no, bf16", id="not_a_choice"),
        pytest.param("batch.size=0", r"batch\.size is 0; it has to be at least 1", id="no_cells"),
        pytest.param("ema_decay=1", "less than 1", id="average_that_never_moves"),
        pytest.param("stage=3", "Legal stages: 1", id="no_such_stage"),
        pytest.param("stage=1", "cell_text_matching need texts", id="text_losses_in_stage_1"),
        pytest.param("data.4.path=x", r"data\.4\.path: .*out of range; there are 1 items", id="list_index_too_high"),
        pytest.param("data.x.path=x", r"data\.x\.path: Index 'x'", id="list_index_that_is_no_number"),
        pytest.param("seed=${nope}", "key 'nope' not found", id="key_that_another_names_and_that_is_not_there"),
        pytest.param("data=[{weight: 1}]", r"data\.0\.path is missing", id="missing_key"),
        pytest.param("batch", "not of the form key=value", id="no_equals_sign"),
        pytest.param("steps.x=1", "steps holds one value", id="section_that_is_a_value"),
    ],
)
def test_mistakes_are_named_in_one_line(override, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_config(MINI, overrides=[override])
    assert "\n" not in str(caught.value)


def test_a_value_may_be_that_of_another_key():
    assert load_config(MINI, overrides=["seed=${steps}", "steps=12"]).seed == 12


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="No config file"):
        load_config(tmp_path / "none.yaml")


def test_a_malformed_file_is_one_line_with_its_place(tmp_path):
    path = tmp_path / "stage1.yaml"
    path.write_text("stage: 1\nsteps: [3\nbatch: {}\n")
    with pytest.raises(ValueError, match=r"stage1\.yaml cannot be read as yaml: .* in line 3, column 6\.") as caught:
        load_config(path)
    assert "\n" not in str(caught.value)
