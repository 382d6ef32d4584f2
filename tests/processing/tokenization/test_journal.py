from pathlib import Path

import pytest

from langcell.processing.shards.files import shard_path
from langcell.processing.shards.manifest import SCHEMA_VERSION, FileRecord, Manifest, ShardOrigin, sha256_of
from langcell.processing.tokenization.journal import Journal, check_same_plan, results_of, stands
from langcell.processing.tokenization.tasks import ShardResult

SUMMARY = {"options": {"max_length": 12, "read": {"x_is": "counts"}}, "sources": [["a.h5ad", "0" * 64, 0]]}
ORIGIN = ShardOrigin(source=0, start=0, stop=9, read=9, dropped={"duplicate": 2}, n_counts=5.0, n_known_counts=4.0)


def result(number: int, folder: Path) -> ShardResult:
    path = folder / shard_path(number)
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"shard {number}")
    return ShardResult(number, FileRecord(shard_path(number), sha256_of(path), rows=7, tokens=30), ORIGIN)


def test_results_come_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "work", SUMMARY)
    assert journal.results == {}
    expected = {2: result(2, tmp_path), 0: ShardResult(0, None, ORIGIN)}
    for each in expected.values():
        journal.add(each)
    assert journal.results == Journal(tmp_path / "work", SUMMARY).results == expected


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_torn_line_is_left_out_and_not_joined_to_the_next(cut: int, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "work", SUMMARY)
    journal.add(result(0, tmp_path))
    journal.add(result(1, tmp_path))
    path = tmp_path / "work" / "finished.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(tmp_path / "work", SUMMARY)
    assert set(again.results) == ({0, 1} if cut == 1 else {0})
    again.add(result(5, tmp_path))
    assert set(Journal(tmp_path / "work", SUMMARY).results) == set(again.results)


def test_another_plan_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "work", SUMMARY)
    other = {**SUMMARY, "options": {"max_length": 99, "read": {"x_is": "counts"}}}
    with pytest.raises(ValueError, match=r"another plan \(options\.max_length: 12 there, 99 here\).*--overwrite"):
        Journal(tmp_path / "work", other)
    with pytest.raises(ValueError, match=r"\(sources: \[\[\"a.h5ad\".*\.\.\. there, null here\)"):
        check_same_plan(SUMMARY, {"options": SUMMARY["options"]}, tmp_path)
    check_same_plan(SUMMARY, dict(SUMMARY), tmp_path)


def test_what_stands(tmp_path: Path) -> None:
    good = result(3, tmp_path)
    assert stands(good, tmp_path)
    (tmp_path / shard_path(3)).write_text("changed")
    assert not stands(good, tmp_path)
    (tmp_path / shard_path(3)).unlink()
    assert not stands(good, tmp_path)
    empty = ShardResult(3, None, ORIGIN)
    assert stands(empty, tmp_path)
    result(3, tmp_path)
    assert not stands(empty, tmp_path)


def test_results_of_a_finished_folder(tmp_path: Path) -> None:
    record = FileRecord(shard_path(4), "0" * 64, rows=7, tokens=30, origin=ORIGIN)
    empty = {"number": 2, "file": None, "origin": ORIGIN.__dict__}
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        vocabulary_fingerprint="f" * 64,
        max_length=12,
        total_cells=7,
        shards=(record,),
        descriptions=FileRecord("descriptions.parquet", "0" * 64, rows=1),
        sources=(),
        tokenizing={"plan": SUMMARY, "empty_shards": [empty]},
    )
    assert results_of(manifest) == {4: ShardResult(4, record, ORIGIN), 2: ShardResult(2, None, ORIGIN)}
