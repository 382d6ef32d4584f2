"""Whole runs: the same shards whoever makes them and however often they were stopped, and every cell accounted for."""

import errno
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import tiny_soma
import tiny_sources
from datasets import load_dataset
from killing import killed_workers
from places import HELPERS
from tiny_sources import OPTIONS, bytes_of
from warm_python import warm_python

from langcell.processing.shards.manifest import Manifest, read_manifest, verify
from langcell.processing.shards.writer import read_descriptions
from langcell.processing.sources.census import CensusSelection
from langcell.processing.sources.open_source import SourceSpec, census_source, find_sources
from langcell.processing.tokenization import tasks as shard_tasks
from langcell.processing.tokenization.options import TokenizeOptions
from langcell.processing.tokenization.tokenize import tokenize

COUNTS, OBS, VOCABULARY = tiny_sources.counts_of(), tiny_sources.obs_of(), tiny.tiny_vocabulary()

LARGE = TokenizeOptions(cells_per_shard=2_000)


def run(specs: list[SourceSpec], folder: Path, *, options: TokenizeOptions = OPTIONS, **how) -> Manifest:
    return tokenize(specs, folder, VOCABULARY, options=options, progress=False, **how)


@pytest.fixture(scope="module")
def specs(tmp_path_factory) -> list[SourceSpec]:
    """Two h5ad files, a 10x file and a text matrix."""
    folder = tmp_path_factory.mktemp("sources")
    tiny_sources.write_h5ad(folder / "a.h5ad")
    tiny_sources.write_h5ad(folder / "b.h5ad", 35, seed=1)
    tiny_sources.write_tenx_h5(folder / "c.h5")
    tiny_sources.write_mtx(folder / "d")
    return find_sources([f"{folder}/*"])


@pytest.fixture(scope="module")
def undisturbed(specs, tmp_path_factory) -> Path:
    """Their shards; read only."""
    folder = tmp_path_factory.mktemp("undisturbed") / "shards"
    run(specs, folder)
    return folder


def test_every_cell_is_accounted_for(undisturbed: Path) -> None:
    manifest = read_manifest(undisturbed)
    assert verify(undisturbed) == []
    assert [(source["name"], source["kind"], source["read"]) for source in manifest.sources] == [
        ("a.h5ad", "anndata", 60), ("b.h5ad", "anndata", 35), ("c.h5", "tenx_h5", 60), ("d", "tenx_mtx", 60),
    ]  # fmt: skip
    for number, source in enumerate(manifest.sources):
        assert source["read"] == source["written"] + sum(source["dropped"].values())
        shards = [shard for shard in manifest.shards if shard.origin and shard.origin.source == number]
        assert sum(shard.rows for shard in shards) == source["written"]
        assert 0 < source["known_counts"] <= 1
    assert manifest.total_cells == sum(source["written"] for source in manifest.sources)
    primary, enough = OBS["is_primary_data"].to_numpy(), COUNTS.getnnz(axis=1) >= OPTIONS.min_genes
    assert manifest.sources[0]["dropped"]["duplicate"] == (~primary).sum()
    assert manifest.sources[0]["dropped"]["too_few_genes"] == (primary & ~enough).sum()
    assert "duplicate" not in manifest.sources[2]["dropped"]


def test_datasets_reads_them_with_no_code_of_ours(undisturbed: Path) -> None:
    rows = load_dataset(str(undisturbed), split="train", streaming=True)
    assert sum(1 for _ in rows) == read_manifest(undisturbed).total_cells


def test_cells_of_sources_without_metadata_have_the_empty_text(
    specs, undisturbed: Path, tmp_path: Path, caplog
) -> None:
    texts = [description.text for description in read_descriptions(undisturbed)]
    assert len(set(texts)) == len(texts)
    for shard in read_manifest(undisturbed).shards:
        assert shard.origin is not None
        rows = pq.read_table(undisturbed / shard.path).to_pylist()
        assert all((texts[row["description_id"]] == "") == (shard.origin.source >= 2) for row in rows)
    with caplog.at_level(logging.WARNING, logger="langcell.tokenize"):
        run(specs[2:3], tmp_path / "shards")
    assert "c.h5: no CELLxGENE metadata" in caplog.text


@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_changes_nothing(workers: int, specs, undisturbed: Path, tmp_path: Path) -> None:
    run(specs, tmp_path / "shards", workers=workers)
    assert bytes_of(tmp_path / "shards") == bytes_of(undisturbed)


@pytest.mark.parametrize("seed", range(3))
def test_workers_killed_at_random_moments_change_no_byte(seed: int, specs, undisturbed: Path, tmp_path: Path) -> None:
    with killed_workers(seed) as killed:
        run(specs, tmp_path / "shards", workers=2)
    assert bytes_of(tmp_path / "shards") == bytes_of(undisturbed)
    assert killed


def test_machine_code_changes_nothing(specs, undisturbed: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shard_tasks, "_CELLS_WORTH_COMPILING", 1)
    run(specs, tmp_path / "shards", workers=2)
    assert bytes_of(tmp_path / "shards") == bytes_of(undisturbed)


def test_a_finished_folder_is_left_as_it_is(specs, undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*.parquet")}
    run(specs, undisturbed)
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*.parquet")} == before


@pytest.mark.parametrize(
    "damaged",
    ["data/train-00001.parquet", "data/train-00004.parquet", "descriptions/descriptions.parquet", "manifest.json"],
)
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_what_is_damaged_is_made_again(
    damaged: str, how: str, specs, undisturbed: Path, tmp_path: Path, caplog
) -> None:
    if (damaged, how) == ("manifest.json", "changed"):
        pytest.skip("a damaged manifest is an error of its own")
    folder = tmp_path / "shards"
    shutil.copytree(undisturbed, folder)
    path = folder / damaged
    content = path.read_bytes()
    path.unlink() if how == "missing" else path.write_bytes(content[:50] + b"x" + content[51:])
    with caplog.at_level(logging.WARNING, logger="langcell.tokenize"):
        run(specs, folder)
    assert bytes_of(folder) == bytes_of(undisturbed)
    assert ("is made again" in caplog.text) == damaged.startswith("data/")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"options": TokenizeOptions(max_length=9)}, r"another plan \(options\.", id="options"),
        pytest.param({"drop": 1}, r"another plan \(descriptions|sources", id="sources"),
    ],
)
def test_shards_of_another_plan_are_replaced_on_request_alone(change, message, specs, undisturbed, tmp_path) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(undisturbed, folder)
    chosen = specs[: -change.pop("drop")] if "drop" in change else specs
    with pytest.raises(ValueError, match=message):
        run(chosen, folder, **change)
    assert bytes_of(folder) == bytes_of(undisturbed)
    run(chosen, folder, overwrite=True, **change)
    run(chosen, tmp_path / "fresh", **change)
    assert bytes_of(folder) == bytes_of(tmp_path / "fresh")


def test_shards_of_another_maker_are_left_alone(specs, tmp_path: Path) -> None:
    from tiny_shards import write_tiny_shards

    folder = write_tiny_shards(tmp_path / "other")
    before = bytes_of(folder)
    with pytest.raises(ValueError, match="not tokenized from sources"):
        run(specs, folder)
    assert bytes_of(folder) == before


def test_an_unfit_source_leaves_nothing_behind(specs, tmp_path: Path) -> None:
    tiny_sources.write_h5ad(tmp_path / "odd.h5ad")
    adata = tiny_sources.adata_of()
    adata.X = adata.X.log1p()
    adata.write_h5ad(tmp_path / "odd.h5ad")
    with pytest.raises(ValueError, match=r"odd\.h5ad: no raw counts found"):
        run([*specs, *find_sources([tmp_path / "odd.h5ad"])], tmp_path / "shards")
    assert not (tmp_path / "shards").exists()


KILLED_AT_EVERY_STEP = """
import logging, os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[1].split(":")
logging.disable()
import tiny, tiny_sources
import langcell.processing.tokenization.compiled_workers  # machine code is made or loaded once, not in each process
from langcell.processing.ontology.terms import Ontology
from langcell.processing.sources.open_source import find_sources
from langcell.processing.tokenization.tokenize import tokenize

sources, work = Path(sys.argv[2]), Path(sys.argv[3])
specs, vocabulary = find_sources([f"{sources}/*"]), tiny.tiny_vocabulary()
STEPS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "open")

def run(folder, kill_at=None):
    "In a process of its own: run, or be killed at the nth change of a file below the folder."
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    steps = 0
    def watch(event, arguments):
        nonlocal steps
        if event in STEPS and str(folder) in str(arguments[0]) and (event != "open" or str(arguments[1])[0] in "wa"):
            steps += 1
            if steps == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    tokenize(specs, folder, vocabulary, options=tiny_sources.OPTIONS, ontology=Ontology.cellxgene(), progress=False)
    os._exit(steps)

for term in ("CL:0000236", "UBERON:0000178", "PATO:0000461", "MONDO:0100096", "EFO:0009922"):
    Ontology.cellxgene().term(term)  # read once, not in each process
n_steps = os.waitstatus_to_exitcode(run(work / "undisturbed"))
expected = tiny_sources.bytes_of(work / "undisturbed")
killed = 0
for step in range(1, n_steps + 1):
    folder = work / f"killed_{step}"
    killed += os.WIFSIGNALED(run(folder, kill_at=step))
    assert os.WIFEXITED(run(folder))
    found = tiny_sources.bytes_of(folder)
    assert found.keys() == expected.keys(), (step, found.keys() ^ expected.keys())
    assert found == expected, (step, [name for name in found if found[name] != expected[name]])
print(n_steps, killed)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_killed_at_any_moment_a_second_run_gives_the_same_shards(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "work").mkdir()
    tiny_sources.write_h5ad(tmp_path / "sources" / "a.h5ad", 45)
    tiny_sources.write_mtx(tmp_path / "sources" / "d")
    arguments = [PLACES, tmp_path / "sources", tmp_path / "work"]
    done = subprocess.run(
        [warm_python(), "-c", KILLED_AT_EVERY_STEP, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    n_steps, killed = map(int, done.stdout.split())
    assert n_steps == killed > 20


# What a script needs to import this module: its folder, and that of the helpers.
PLACES = f"{Path(__file__).parent}:{HELPERS}"

KILLED_WITH_WORKERS = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1].split(":")
from test_tokenize import *
if __name__ == "__main__":
    run(find_sources([f"{sys.argv[2]}/*"]), Path(sys.argv[3]), workers=2)
"""


@pytest.mark.slow
def test_killed_with_its_workers_at_work(specs, undisturbed: Path, tmp_path: Path) -> None:
    folder, sources = tmp_path / "shards", Path(specs[0].path).parent
    arguments = [PLACES, str(sources), str(folder)]
    process = subprocess.Popen([sys.executable, "-c", KILLED_WITH_WORKERS, *arguments])
    journal = folder / ".tokenize" / "finished.jsonl"
    while not journal.exists() or not journal.read_text():
        time.sleep(0.005)
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not (folder / "manifest.json").exists()
    run(specs, folder)
    assert bytes_of(folder) == bytes_of(undisturbed)


NO_ROOM = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[1].split(":")
from test_tokenize import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))
try:
    run(find_sources([sys.argv[2]]), Path(sys.argv[3]), options=LARGE)
except OSError as error:
    print(error.errno, error)
"""


@pytest.mark.skipif(os.name != "posix", reason="file size limits are a POSIX matter")
def test_no_room_is_a_clear_error_and_nothing_is_lost(tmp_path: Path) -> None:
    source = tiny_sources.write_h5ad(tmp_path / "cells.h5ad", 3_000)
    folder = tmp_path / "shards"
    arguments = [PLACES, str(source), str(folder)]
    done = subprocess.run([warm_python(), "-c", NO_ROOM, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{errno.ENOSPC} no room to write {folder}/data/train-00000.parquet: ")
    assert done.stdout.count("\n") == 1
    assert not list((folder / "data").iterdir())
    run(find_sources([source]), folder, options=LARGE)
    run(find_sources([source]), tmp_path / "fresh", options=LARGE)
    assert bytes_of(folder) == bytes_of(tmp_path / "fresh")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> str:
    """A local SOMA experiment with the cells of the first file."""
    return tiny_soma.write_experiment(tmp_path_factory.mktemp("soma") / "experiment", tiny_sources.adata_of())


def test_a_census_gives_the_cells_that_a_file_gives(experiment, specs, tmp_path: Path) -> None:
    census, file = tmp_path / "census", tmp_path / "file"
    run([census_source(CensusSelection(experiment))], census)
    run(specs[:1], file)
    of_census, of_file = (
        [row for shard in read_manifest(folder).shards for row in pq.read_table(folder / shard.path).to_pylist()]
        for folder in (census, file)
    )
    sets = {row["source"] for row in of_census}
    assert sets == {"set one", "set two"}
    assert [row | {"source": ""} for row in of_census] == [row | {"source": ""} for row in of_file]
    (source,) = read_manifest(census).sources
    assert source["read"] == 60 == source["written"] + sum(source["dropped"].values())


def test_a_filtered_range_of_a_census_whose_readers_may_be_killed(experiment, tmp_path: Path) -> None:
    selection = CensusSelection(
        experiment, value_filter="assay_ontology_term_id == 'EFO:0009922' and nnz >= 10", joinids=(10, 50)
    )
    for workers, name in ((1, "one"), (2, "two")):
        run([census_source(selection)], tmp_path / name, workers=workers)
    with killed_workers(0) as killed:
        run([census_source(selection)], tmp_path / "killed", workers=2)
    assert killed
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two") == bytes_of(tmp_path / "killed")
    (source,) = read_manifest(tmp_path / "one").sources
    chosen = ((OBS["assay_ontology_term_id"] == "EFO:0009922") & (OBS["nnz"] >= 10)).to_numpy()
    chosen = chosen & (np.arange(60) >= 10) & (np.arange(60) < 50)
    assert source["dropped"]["outside_filter"] == 40 - chosen.sum()
    assert source["dropped"]["duplicate"] == (chosen & ~OBS["is_primary_data"]).sum()
    assert source["read"] == 40 == source["written"] + sum(source["dropped"].values())
    assert source["census"]["value_filter"] == selection.value_filter


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Dask, about processes that come and go
def test_a_dask_cluster_with_a_worker_killed_midway(specs, undisturbed: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra scale is not installed")
    folder = tmp_path / "shards"
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, scheduler_port=0
    ) as cluster:
        killed: list[int] = []

        def kill_one() -> None:
            while not list(folder.glob("data/train-*.parquet")):
                time.sleep(0.002)
            worker = next(iter(cluster.workers.values()))
            killed.append(worker.pid)
            os.kill(worker.pid, 9)

        killer = threading.Thread(target=kill_one, daemon=True)
        killer.start()
        run(specs, folder, scheduler=cluster.scheduler_address)
        killer.join()
    assert killed
    assert bytes_of(folder) == bytes_of(undisturbed)
