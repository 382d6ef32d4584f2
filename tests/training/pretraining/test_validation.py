import json
import shutil

import pytest
import tiny
import tiny_shards
import torch
from accelerate import Accelerator
from torch.testing import assert_close

from langcell.training.pretraining.validation import build_validation, read_held_out, retrieval
from langcell.training.settings.sections import (
    Batch,
    CellText,
    CellTextMatching,
    Objectives,
    PretrainConfig,
    ShardFolder,
    ValidationSection,
)
from langcell.training.stage.stage import PretrainingStage

BOTH = Objectives(cell_text=CellText(weight=1.0), cell_text_matching=CellTextMatching(weight=1.0))
STAGE_2 = (
    "masked_gene", "masked_gene_accuracy", "cell_to_text_recall_at_1", "cell_to_text_recall_at_5",
    "text_to_cell_recall_at_1", "text_to_cell_recall_at_5", "matching_accuracy",
)  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Shards to train on, and held-out ones."""
    home = tmp_path_factory.mktemp("shards")
    return [
        tiny_shards.write_tiny_shards(home / name, seed=seed, n_cells=90, cells_per_shard=40)
        for name, seed in (("train", 0), ("held-out", 1))
    ]


@pytest.fixture
def accelerator():
    accelerator = Accelerator(cpu=True)
    yield accelerator
    accelerator.free_memory()


def config_of(folders, *, stage=2, cells=64, size=10, objectives=None, path=None):
    return PretrainConfig(
        stage=stage,
        output_dir="unused",
        steps=1,
        data=[ShardFolder(path=str(folders[0]))],
        objectives=objectives or (BOTH if stage == 2 else Objectives()),
        batch=Batch(size=size, max_length=20, max_text_length=tiny.MAX_TEXT_LENGTH),
        validation=ValidationSection(path=str(path or folders[1]), cells=cells),
    )


def built(config, model):
    tokenizer = tiny.tiny_tokenizer() if config.stage == 2 else None
    return build_validation(config, model.config, tokenizer=tokenizer)


def measure(config, accelerator, *, seed=0):
    model = tiny.tiny_model(seed=seed)
    return built(config, model)(PretrainingStage(model, config.objectives), accelerator)


def test_stage_2_measures_everything_and_the_same_each_time(folders, accelerator):
    metrics = measure(config_of(folders), accelerator)
    assert set(metrics) == {f"validation_{name}" for name in STAGE_2}
    assert all(0 <= value <= 1 for name, value in metrics.items() if name != "validation_masked_gene")
    assert measure(config_of(folders), accelerator) == metrics
    assert measure(config_of(folders), accelerator, seed=1) != metrics


def test_stage_1_has_masked_genes_alone(folders, accelerator):
    metrics = measure(config_of(folders, stage=1), accelerator)
    assert set(metrics) == {"validation_masked_gene", "validation_masked_gene_accuracy"}


def test_random_states_and_training_mode_are_left_alone(folders, accelerator):
    config = config_of(folders)
    model = tiny.tiny_model()
    stage = PretrainingStage(model, config.objectives).train()
    validation = built(config, model)
    state = torch.get_rng_state()
    validation(stage, accelerator)
    assert torch.equal(torch.get_rng_state(), state)
    assert stage.training
    assert model.cell_encoder.training


def test_the_questions_do_not_depend_on_the_batches(folders, accelerator):
    whole, parts = (measure(config_of(folders, size=size), accelerator) for size in (64, 7))
    assert whole == pytest.approx(parts, abs=1e-5)


def test_a_model_that_knows_the_answers_gets_full_marks(folders):
    model = tiny.tiny_model()
    positive = built(config_of(folders), model).positive
    texts = torch.eye(positive.shape[1])
    cells = texts[positive.int().argmax(dim=1)]
    assert set(retrieval(cells, texts, positive).values()) == {1.0}
    assert retrieval(-cells, texts, positive)["cell_to_text_recall_at_1"] == 0.0


def test_recall_is_counted_as_by_hand():
    # Cell 0 finds its text second, cell 1 first; text 1 has no positive cell near.
    cells, texts = torch.tensor([[1.0, 0.0], [0.8, 0.6]]), torch.tensor([[0.6, 0.8], [1.0, 0.0], [-1.0, 0.0]])
    positive = torch.tensor([[True, False, False], [True, False, False]])
    recalls = retrieval(cells, texts, positive)
    assert_close(recalls["cell_to_text_recall_at_1"], 0.5)
    assert_close(recalls["cell_to_text_recall_at_5"], 1.0)
    assert_close(recalls["text_to_cell_recall_at_1"], 1 / 3)


def test_wrong_texts_are_surely_wrong(folders):
    validation = built(config_of(folders, cells=90), tiny.tiny_model())
    descriptions = read_held_out(
        config_of(folders, cells=90), vocabulary_fingerprint=tiny.tiny_vocabulary().fingerprint
    ).descriptions
    tokenizer = tiny.tiny_tokenizer()
    related = {tiny_shards.T_CELL, tiny_shards.CD4_T_CELL}
    of_text = {
        tokenizer.decode(tokenizer(text).input_ids): descriptions.terms[kind]
        for text, kind in zip(descriptions.texts, descriptions.cell_types, strict=True)
    }
    seen = 0
    for batch in validation.cells:
        texts = [tokenizer.decode(ids[mask.bool()]) for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)]  # fmt: skip  # noqa: E501
        for kind, (own, wrong) in zip(batch["cell_type"].tolist(), batch["texts_of_cells"].tolist(), strict=True):
            types = {descriptions.terms[kind], of_text[texts[wrong]]}
            assert of_text[texts[own]] == descriptions.terms[kind]
            assert len(types) == 2
            assert types != related
            seen += 1
    assert seen == 90


def test_cells_are_spread_over_the_shards(folders):
    fingerprint = tiny.tiny_vocabulary().fingerprint
    everything = read_held_out(config_of(folders, cells=1000), vocabulary_fingerprint=fingerprint).cells
    some = read_held_out(config_of(folders, cells=9), vocabulary_fingerprint=fingerprint).cells
    assert len(everything) == 90
    expected = [everything[row].input_ids.tolist() for row in range(0, 90, 10)]
    assert [cell.input_ids.tolist() for cell in some] == expected


def test_no_folder_no_validation(folders):
    config = config_of(folders)
    config.validation.path = ""
    assert build_validation(config, tiny.tiny_config(), tokenizer=None) is None


def test_shards_that_are_trained_on_are_refused(folders, tmp_path):
    copy = shutil.copytree(folders[0], tmp_path / "copy")
    with pytest.raises(ValueError, match=r"has a shard that .* trains on"):
        built(config_of(folders, path=copy), tiny.tiny_model())


def test_another_vocabulary_is_refused(folders, tmp_path):
    other = shutil.copytree(folders[1], tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"vocabulary_fingerprint": "f" * 64}))
    with pytest.raises(ValueError, match="same gene vocabulary"):
        built(config_of(folders, path=other), tiny.tiny_model())


def test_cells_without_a_description_are_for_stage_1(tmp_path, folders, accelerator):
    path = tiny_shards.write_tiny_shards(tmp_path / "plain", descriptions=tiny_shards.UNLABELLED, n_cells=12)
    with pytest.raises(ValueError, match="has a cell without a description; stage 2 needs one"):
        built(config_of(folders, path=path), tiny.tiny_model())
    assert measure(config_of(folders, stage=1, path=path), accelerator)
