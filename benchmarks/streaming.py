"""How fast tokenized shards become padded tensors, shuffled by blocks, and how long a run that resumes reads.

    python benchmarks/streaming.py                       # writes 60,000 cells into a temporary folder first
    python benchmarks/streaming.py --folder shards/cells --workers 0 1 2
    python benchmarks/streaming.py --hub 30               # from a Hub on this machine, of 30 MiB a second

Cells have 1,000 gene ids on average, as many as 2,048. Windows of 64 batches of 128 cells span four blocks and more.
Wall times are those of this machine at that moment: on one that does other work as well, look at the processor time
too, which is what the work costs (all threads of this process; not of its workers). Results are printed as JSON lines.

With `--hub` the shards are streamed from a server on loopback that speaks the Hub's protocol (that of the tests, with
range requests), by a process of its own with an empty cache. `resume_is_exact` says whether a second reader, which is
given the saved position, reads the very batch that the first one reads next.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from langcell.processing.genes import GeneVocabulary
from langcell.processing.rank_values import RankedCells
from langcell.processing.shards.writer import TEXT_COLUMNS, Description, ShardWriter
from langcell.training.data.shard_location import ShardLocation
from langcell.training.data.streaming import BatchCollator, CellBatches, Descriptions, open_shards

GENES, MAX_LENGTH, BATCH, WINDOW = 20_000, 2_048, 128, 64


def write_cells(folder: Path, n_cells: int, *, seed: int = 0) -> Path:
    """Shards of cells whose lengths spread as those of real ones do; which genes they have does not matter here."""
    rng = np.random.default_rng(seed)
    vocabulary = GeneVocabulary([f"ENSG{i:011d}" for i in range(GENES)], np.ones(GENES), [""] * GENES)
    description = [Description("cell type: b cell; ", "CL:0000236")]
    options = {"descriptions": description, "max_length": MAX_LENGTH, "sources": [], "overwrite": True}
    with ShardWriter(folder, vocabulary, **options) as writer:
        for start in range(0, n_cells, 2_000):
            count = min(2_000, n_cells - start)
            genes = np.clip(rng.lognormal(np.log(920), 0.45, count).astype(int), 50, MAX_LENGTH - 1)
            rows = [np.r_[vocabulary.cls_token_id, 2 + rng.permutation(GENES)[:n]] for n in genes]
            ranked = RankedCells(
                token_ids=np.concatenate(rows).astype(np.uint16),
                offsets=np.cumsum([0, *map(len, rows)]),
                n_known_genes=genes,
                n_counts=np.ones(count),
                n_known_counts=np.ones(count),
            )
            columns = {name: np.full(count, "", dtype=object) for name in TEXT_COLUMNS}
            writer.add(ranked, np.zeros(count, dtype=int), columns)
    return folder


def open_stream(folder: Path | str, workers: int) -> tuple[CellBatches, BatchCollator]:
    """Batches of a folder, and what makes tensors of them."""
    place = ShardLocation.find(folder)
    descriptions, maps = Descriptions.read([place.folder])
    readers = open_shards([place], code_maps=maps, seed=0)
    batches = CellBatches(
        readers, weights=[1.0], batch_size=BATCH, window=WINDOW, max_length=MAX_LENGTH, seed=0, workers=workers
    )
    return batches, BatchCollator(descriptions, max_length=MAX_LENGTH, pad_token_id=0)


def measure(folder: Path | str, *, workers: int, cells: int) -> dict[str, float | int]:
    """Read `cells` cells as padded tensors, from the second window on: the first one opens files and starts workers."""
    batches, collate = open_stream(folder, workers)
    asked = time.perf_counter()
    for _ in range(WINDOW):
        collate(next(batches))
    opened = time.perf_counter() - asked
    read = tokens = padded = 0
    started, busy = time.perf_counter(), time.process_time()
    while read < cells:
        batch = collate(next(batches))
        read += len(batch["cell_input_ids"])
        tokens += int(batch["cell_attention_mask"].sum())
        padded += batch["cell_input_ids"].numel()
    seconds, own = time.perf_counter() - started, time.process_time() - busy
    state = json.loads(json.dumps(batches.state_dict()))
    following = collate(next(batches))
    batches.close()
    again, collate_again = open_stream(folder, 0)
    again.load_state_dict(state)
    asked = time.perf_counter()
    resumed = collate_again(next(again))
    seconds_to_resume = time.perf_counter() - asked
    exact = all(torch.equal(resumed[name], following[name]) for name in following)
    return {
        "workers": workers,
        "cells": read,
        "ids_a_cell": round(tokens / read),
        "padding": round(1 - tokens / padded, 4),
        "cells_per_second": round(read / seconds),
        "cells_per_processor_second_of_this_process": round(read / own),
        "seconds_until_the_second_window": round(opened, 2),
        "seconds_to_resume": round(seconds_to_resume, 2),
        "resume_is_exact": exact,
        "state_bytes": len(json.dumps(state)),
        "load": round(os.getloadavg()[0], 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def measure_from_hub(folder: Path, *, mebibytes: float, workers: int, cells: int) -> None:
    """Serve the shards, and measure in a process that knows them by their Hub id alone."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
    import hub_server  # pyright: ignore[reportMissingImports]

    with hub_server.running() as hub, tempfile.TemporaryDirectory() as home:
        hub.put("org/cells", folder, kind="dataset")
        hub.bytes_per_second = mebibytes * 2**20
        options = ["--folder", "org/cells", "--workers", str(workers), "--cells", str(cells)]
        environment = hub.environment(Path(home)) | {"HF_HUB_OFFLINE": "0"}
        subprocess.run([sys.executable, __file__, *options], env=environment, check=True)
        print(json.dumps({"megabytes": round(sum(f.stat().st_size for f in folder.rglob("*.parquet")) / 1e6, 1)}))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="finished shards, or the Hub id of such; written where not given")
    parser.add_argument("--hub", type=float, metavar="MIB_PER_S", help="stream from a Hub on loopback of this speed")
    parser.add_argument("--cells", type=int, default=60_000, help="cells to read, and to write")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1], help="worker processes, one run for each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or write_cells(Path(temporary) / "shards", options.cells)
        for workers in options.workers:
            if options.hub is not None:
                measure_from_hub(Path(folder), mebibytes=options.hub, workers=workers, cells=options.cells)
                continue
            print(json.dumps(measure(folder, workers=workers, cells=options.cells)), flush=True)


if __name__ == "__main__":
    main()
