import ast
import json
import os
import subprocess

import numpy as np
import pytest
import tiny
import tiny_shards
import torch
from killing import worker_processes
from places import HELPERS
from warm_python import warm_python, warm_spawning

from langcell.training.data.streaming import BatchCollator, CellBatches, Descriptions, open_shards


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_shards.write_tiny_shards(tmp_path_factory.mktemp("shards") / "labelled")


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    path = tmp_path_factory.mktemp("shards") / "unlabelled"
    return tiny_shards.write_tiny_shards(path, n_cells=70, descriptions=tiny_shards.UNLABELLED, seed=1)


def batches_of(*folders, weights=None, rank=0, world_size=1, seed=0, batch_size=8, window=4, **options):
    _, maps = Descriptions.read(folders)
    readers = open_shards(folders, code_maps=maps, seed=seed, rank=rank, world_size=world_size)
    options |= {"batch_size": batch_size, "window": window, "max_length": 16, "seed": seed, "rank": rank}
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


def test_a_position_of_another_run_is_refused(folder, unlabelled):
    state = batches_of(folder).state_dict()
    with pytest.raises(ValueError, match=r"batch.size and batch.window \[8, 4\] and 1 folders; this run has \[8, 5\]"):
        batches_of(folder, window=5).load_state_dict(state)
    with pytest.raises(ValueError, match="saved with 1 streams, this run has 2"):
        batches_of(folder, world_size=2).load_state_dict(state)
    with pytest.raises(ValueError, match="180 cells, this run has 70"):
        batches_of(unlabelled).load_state_dict(state)


@pytest.mark.slow
def test_worker_processes_change_no_batch_and_a_run_goes_on_with_other_numbers_of_them(folder, unlabelled):
    alone, helped = (batches_of(folder, unlabelled, weights=[3, 1], workers=workers) for workers in (0, 1))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with warm_spawning():
        assert take(helped, 9) == take(alone, 9)
    assert torch.equal(torch.get_rng_state(), before), "the generator of dropout was used"
    state = json.loads(json.dumps(helped.state_dict()))
    assert state == alone.state_dict()  # windows made ahead do not count
    helped.close()
    resumed = batches_of(folder, unlabelled, weights=[3, 1])
    resumed.load_state_dict(state)
    assert take(resumed, 6) == take(alone, 6)


def test_a_worker_process_that_is_killed_changes_no_batch(folder, caplog):
    alone, helped = (batches_of(folder, workers=workers) for workers in (0, 1))
    first = take(helped, 1)
    (worker,) = worker_processes()
    worker.kill()
    worker.join()
    assert first + take(helped, 11) == take(alone, 12)
    helped.close()
    assert not worker_processes()


@pytest.mark.slow
def test_two_ranks_with_two_workers_each_see_every_cell_exactly_once(folder, tmp_path):
    """Four spawned worker processes under two gloo ranks: 180 cells are 2 ranks x 6 windows of 3 batches of 5."""
    script = [warm_python(), str(HELPERS / "stream_on_ranks.py")]
    arguments = [str(folder), str(tmp_path / "meet"), "2", "18"]
    ranks = [
        subprocess.Popen([*script, *arguments], env=os.environ | {"RANK": str(rank), "WORLD_SIZE": "2"},
                         stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]  # fmt: skip
    printed = [process.communicate(timeout=600)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0]
    first, second = (set(part) for part in ast.literal_eval(printed[0]))
    (reader,) = open_shards([folder], code_maps=Descriptions.read([folder])[1], seed=0)
    everything = {tuple(cell.input_ids.tolist()) for cell in reader.take(180)}
    assert (len(first), len(second), len(everything)) == (90, 90, 180)
    assert first | second == everything


def test_streams_go_through_folders_at_the_same_pace(folder, unlabelled):
    streams = [batches_of(folder, unlabelled, weights=[3, 1], rank=rank, world_size=2) for rank in range(2)]
    for stream in streams:
        take(stream, 17)
    one, other = (stream.state_dict() for stream in streams)
    assert one == other


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


def test_paraphrases_are_read_in_one_form_a_batch_and_in_another_the_next_time(folder):
    descriptions = Descriptions.read([folder])[0].paraphrased(5, seed=0)
    collate = BatchCollator(
        descriptions, max_length=16, pad_token_id=0, tokenizer=tiny.tiny_tokenizer(), max_text_length=24
    )
    forms: dict[int, set[int]] = {}
    for stream in (batches_of(folder, variants=5), batches_of(folder, variants=5, rank=1, world_size=2)):
        for _ in range(20):
            batch = collate(next(stream))
            assert len(batch["text_description"].unique()) == len(batch["text_row"]) == len(batch["input_ids"])
            assert torch.equal(batch["text_row"] // 5, batch["text_description"])
            assert torch.equal(batch["text_description"][batch["own_text"]], batch["cell_description"])
            for code, row in zip(batch["text_description"].tolist(), batch["text_row"].tolist(), strict=True):
                forms.setdefault(code, set()).add(row % 5)
    assert all(len(seen) == 5 for seen in forms.values())


def test_texts_are_tokenized_as_the_tokenizer_itself_does_it(folder):
    tokenizer = tiny.tiny_tokenizer()
    batch = collator(folder, tokenizer=tokenizer)(next(batches_of(folder)))
    texts = [Descriptions.read([folder])[0].texts[row] for row in batch["text_row"].tolist()]
    expected = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])


def test_stage_1_batches_need_no_text(unlabelled):
    batch = collator(unlabelled)(next(batches_of(unlabelled)))
    assert "input_ids" not in batch
    assert (batch["cell_type"] == -1).all()


def test_a_cell_without_text_is_refused_where_texts_are_needed(unlabelled):
    with pytest.raises(ValueError, match="Use such shards in stage 1 only"):
        collator(unlabelled, tokenizer=tiny.tiny_tokenizer())(next(batches_of(unlabelled)))


def test_gene_dropout_thins_cells_alike_in_every_run_and_with_any_workers(folder):
    whole, first, again, by_worker = (
        take(batches_of(folder, seed=3, **options), 6)
        for options in ({}, {"gene_dropout": 0.8}, {"gene_dropout": 0.8}, {"gene_dropout": 0.8, "workers": 1})
    )
    assert first == again == by_worker
    lengths = [[len(ids) for batch in batches for ids, _ in batch] for batches in (whole, first)]
    assert sum(lengths[1]) < 0.8 * sum(lengths[0])
    assert min(lengths[1]) >= 1


def test_thinned_cells_still_come_in_batches_of_like_lengths(folder):
    batches = take(batches_of(folder, gene_dropout=0.9, batch_size=8, window=8), 8)
    lengths = np.array([[len(ids) for ids, _ in batch] for batch in batches])
    assert lengths.std(axis=1).mean() < lengths.std()
