import json

import numpy as np
import pytest
import tiny
import tiny_shards
import torch

from langcell.training.streaming import BatchCollator, CellBatches, Descriptions, ShardReader, open_shards


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_shards.write_tiny_shards(tmp_path_factory.mktemp("shards") / "labelled")


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    path = tmp_path_factory.mktemp("shards") / "unlabelled"
    return tiny_shards.write_tiny_shards(path, n_cells=70, descriptions=tiny_shards.UNLABELLED, seed=1)


def batches_of(*folders, weights=None, rank=0, world_size=1, seed=0, batch_size=8, window=4):
    _, maps = Descriptions.read(folders)
    readers = open_shards(folders, code_maps=maps, seed=seed, rank=rank, world_size=world_size)
    options = {"batch_size": batch_size, "window": window, "max_length": 16, "seed": seed, "rank": rank}
    return CellBatches(readers, weights=weights or [1.0] * len(folders), **options)


def collator(folder, *, tokenizer=None):
    descriptions, _ = Descriptions.read([folder])
    return BatchCollator(descriptions, max_length=16, pad_token_id=0, tokenizer=tokenizer, max_text_length=24)


def as_lists(batch):
    return [(cell.input_ids.tolist(), cell.description) for cell in batch]


def take(batches, count):
    return [as_lists(next(batches)) for _ in range(count)]


def keys(cells):
    return sorted((tuple(ids), code) for ids, code in cells)


def test_a_reader_gives_every_cell_once_a_round_and_files_in_new_order(folder):
    _, (codes,) = Descriptions.read([folder])
    (reader,) = open_shards([folder], code_maps=[codes], seed=0)
    rounds = [as_lists(reader.take(180)) for _ in range(4)]
    assert all(keys(cells) == keys(rounds[0]) for cells in rounds)
    assert any(cells != rounds[0] for cells in rounds[1:])


@pytest.mark.parametrize(
    "world_size", [pytest.param(3, id="as_many_as_files"), pytest.param(2, id="files_do_not_divide")]
)
def test_processes_share_the_cells_without_overlap(folder, world_size):
    _, (codes,) = Descriptions.read([folder])
    (whole,) = open_shards([folder], code_maps=[codes], seed=0)
    parts = []
    for rank in range(world_size):
        (reader,) = open_shards([folder], code_maps=[codes], seed=0, rank=rank, world_size=world_size)
        parts += as_lists(reader.take(180 // world_size))
    assert keys(parts) == keys(as_lists(whole.take(180)))


@pytest.mark.parametrize(
    "done",
    [
        pytest.param(0, id="before_the_first_batch"),
        pytest.param(3, id="in_a_window"),
        pytest.param(4, id="at_the_end_of_a_window"),
        pytest.param(37, id="in_the_second_round"),
    ],
)
def test_resume_goes_on_with_the_very_same_batches(folder, unlabelled, done):
    batches = batches_of(folder, unlabelled, weights=[3, 1])
    take(batches, done)
    state = json.loads(json.dumps(batches.state_dict()))
    expected = take(batches, 12)
    resumed = batches_of(folder, unlabelled, weights=[3, 1])
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert take(resumed, 12) == expected


def test_the_seed_decides(folder):
    assert take(batches_of(folder), 3) == take(batches_of(folder), 3)
    assert take(batches_of(folder), 3) != take(batches_of(folder, seed=1), 3)


def test_batches_hold_cells_of_like_lengths(folder):
    batches = batches_of(folder, batch_size=8, window=20)
    lengths = [[min(len(ids), 16) for ids, _ in batch] for batch in take(batches, 20)]
    assert np.mean([max(batch) - min(batch) for batch in lengths]) < 2
    assert [np.mean(batch) for batch in lengths] != sorted(np.mean(batch) for batch in lengths)


def test_weights_mix_folders_and_cells_without_text_have_no_description(folder, unlabelled):
    batches = take(batches_of(folder, unlabelled, weights=[3, 1], window=40), 40)
    assert np.mean([code < 0 for batch in batches for _, code in batch]) == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("weights", [pytest.param([1.0], id="too_few"), pytest.param([1.0, 0.0], id="zero")])
def test_wrong_weights_are_refused(folder, unlabelled, weights):
    with pytest.raises(ValueError, match="a number above 0"):
        batches_of(folder, unlabelled, weights=weights)


def test_more_processes_than_cells_is_an_error(tmp_path):
    folder = tiny_shards.write_tiny_shards(tmp_path / "two", n_cells=2)
    (path,) = (str(path) for path in folder.glob("data/*.parquet"))
    reader = ShardReader([path], description_codes={}, seed=0, rank=3, world_size=4)
    with pytest.raises(ValueError, match="no cell for process 3 of 4"):
        reader.take(1)


def test_descriptions_of_two_folders_with_equal_texts_share_codes(folder, tmp_path):
    other = tiny_shards.write_tiny_shards(tmp_path / "other", descriptions=tiny_shards.DESCRIPTIONS[::-1], seed=3)
    descriptions, (first, second) = Descriptions.read([folder, other])
    assert first == {i: i for i in range(5)}
    assert second == {i: 4 - i for i in range(5)}
    assert descriptions.terms == sorted(tiny_shards.TYPES)
    assert [descriptions.terms[code] for code in descriptions.cell_types] == [
        description.cell_type_ontology_term_id for description in tiny_shards.DESCRIPTIONS
    ]


def test_a_batch_is_padded_to_its_longest_and_has_each_text_once(folder):
    cells = next(batches_of(folder))
    batch = collator(folder, tokenizer=tiny.tiny_tokenizer())(cells)
    longest = max(min(len(cell.input_ids), 16) for cell in cells)
    assert batch["cell_input_ids"].shape == batch["cell_attention_mask"].shape == (8, longest)
    assert torch.equal(batch["cell_attention_mask"] == 0, batch["cell_input_ids"] == 0)
    assert len(batch["text_description"].unique()) == len(batch["input_ids"]) == len(batch["attention_mask"])
    assert torch.equal(batch["text_description"][batch["own_text"]], batch["cell_description"])
    assert torch.equal(batch["text_type"][batch["own_text"]], batch["cell_type"])


def test_stage_1_batches_need_no_text(unlabelled):
    batch = collator(unlabelled)(next(batches_of(unlabelled)))
    assert "input_ids" not in batch
    assert (batch["cell_type"] == -1).all()


def test_a_cell_without_text_is_refused_where_texts_are_needed(unlabelled):
    with pytest.raises(ValueError, match="Use such shards in stage 1 only"):
        collator(unlabelled, tokenizer=tiny.tiny_tokenizer())(next(batches_of(unlabelled)))
