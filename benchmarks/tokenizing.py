"""How fast counts become shards, and in how much memory.

    python benchmarks/tokenizing.py memory              # csr in memory to ranked cells, against a plain argsort a cell
    python benchmarks/tokenizing.py file --cells 20000  # an h5ad file on disk to shards on disk
    python benchmarks/tokenizing.py file --cells 200000

Matrices are as wide as the CELLxGENE Census's, 60,664 columns, of which 25,424 are the protein-coding and miRNA genes
of the paper's vocabulary; cells express 2,600 of these and 200 others. The file is written once, a block of cells at a
time, and kept in `--folder`. Wall times are those of this machine at that moment: on one that does other work as well,
look at the seconds of processor time too, which is what the work costs. Results are printed as JSON lines.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

from langcell.processing.genes import GeneVocabulary
from langcell.processing.rank_values import rank_encode
from langcell.processing.sources.open_source import find_sources
from langcell.processing.tokenization.rank_kernel import rank_encode_compiled
from langcell.processing.tokenization.scheduling import default_workers
from langcell.processing.tokenization.tokenize import TokenizeOptions, tokenize

COLUMNS, KNOWN_GENES = 60_664, 25_424
KNOWN_PER_CELL, OTHERS_PER_CELL = 2_600, 200
GENES_PER_CELL = KNOWN_PER_CELL + OTHERS_PER_CELL
_BLOCK = 2_000  # cells that are drawn; larger inputs repeat them with their genes moved along


def known_columns() -> np.ndarray:
    """Return the columns of the vocabulary's genes, ascending."""
    return np.sort(np.random.default_rng(2).choice(COLUMNS, KNOWN_GENES, replace=False))


def gene_index() -> np.ndarray:
    """Of each column the place of its gene in the vocabulary, or -1."""
    index = np.full(COLUMNS, -1)
    index[known_columns()] = np.arange(KNOWN_GENES)
    return index


def draw_cells(n_cells: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Counts that fall off as those of real cells do, each cell with its own genes."""
    known = known_columns()
    others = np.setdiff1d(np.arange(COLUMNS), known)
    columns = [
        np.sort(
            np.concatenate(
                [rng.choice(known, KNOWN_PER_CELL, replace=False), rng.choice(others, OTHERS_PER_CELL, replace=False)]
            )
        )
        for _ in range(n_cells)
    ]
    values = rng.geometric(0.4, size=n_cells * GENES_PER_CELL).astype(np.float32)
    pointers = np.arange(n_cells + 1) * GENES_PER_CELL
    return sparse.csr_matrix((values, np.concatenate(columns).astype(np.int32), pointers), (n_cells, COLUMNS))


def column_names() -> list[str]:
    """Ensembl ids of the columns."""
    return [f"ENSG{i:011d}" for i in range(COLUMNS)]


def make_vocabulary(rng: np.random.Generator) -> GeneVocabulary:
    """Return the known genes, with medians between 0.1 and about 8."""
    names = column_names()
    return GeneVocabulary([names[i] for i in known_columns()], rng.gamma(2, 1, KNOWN_GENES) + 0.1, [""] * KNOWN_GENES)


def in_chunks(counts: sparse.csr_matrix, size: int = 500) -> list[sparse.csr_matrix]:
    """Return the matrix as a reader gives it, a chunk of cells after the other."""
    return [counts[start : start + size] for start in range(0, counts.shape[0], size)]


def rank_in_threads(
    chunks: list[sparse.csr_matrix],
    index: np.ndarray,
    vocabulary: GeneVocabulary,
    *,
    threads: int,
    compiled: bool = True,
) -> None:
    """Rank chunks of cells in turn on each thread."""
    rank = rank_encode_compiled if compiled else rank_encode
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda chunk: rank(chunk, index, vocabulary), chunks))


def rank_plainly(chunks: list[sparse.csr_matrix], known: np.ndarray, vocabulary: GeneVocabulary) -> None:
    """The plain way, that of the released tokenizer: a dense array of genes x cells, and an argsort for each column."""
    token_ids = np.arange(KNOWN_GENES) + vocabulary.first_gene_token_id
    for chunk in chunks:
        dense = np.asarray(chunk.T.toarray(order="C"), dtype=np.float64)
        relative = dense[known] / dense.sum(axis=0) * 10_000 / vocabulary.medians[:, None]
        for column in relative.T:
            found = np.flatnonzero(column)
            token_ids[found][np.argsort(-column[found])][:2047]


def measure(work: Callable[[], object], n_cells: int, repeats: int) -> dict[str, float]:
    """Cells per second of wall time (best and median) and of processor time (best)."""
    walls, processor = [], []
    for _ in range(repeats):
        wall, used = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        processor.append(time.process_time() - used)
    return {
        "cells_per_s_best": round(n_cells / min(walls)),
        "cells_per_s_median": round(n_cells / float(np.median(walls))),
        "cells_per_processor_s": round(n_cells / min(processor)),
    }


def measure_memory(*, repeats: int, threads: int) -> Iterator[dict]:
    """Yield how fast the encoder is beside the plain way, on cells in memory."""
    rng = np.random.default_rng(0)
    n_cells, n_plain = 4_000, 1_000
    counts, vocabulary = draw_cells(n_cells, rng), make_vocabulary(rng)
    chunks, few = in_chunks(counts), in_chunks(counts[:n_plain])
    index, known = gene_index(), known_columns()
    rank_in_threads(few, index, vocabulary, threads=1)  # the machine code is made
    fast = measure(lambda: rank_in_threads(chunks, index, vocabulary, threads=threads), n_cells, repeats)
    plain = measure(lambda: rank_plainly(few, known, vocabulary), n_plain, repeats)
    one = measure(lambda: rank_in_threads(chunks, index, vocabulary, threads=1), n_cells, repeats)
    in_numpy = {"threads": threads, "compiled": False}
    numpy = measure(lambda: rank_in_threads(chunks, index, vocabulary, **in_numpy), n_cells, repeats)
    yield {"what": f"rank_encode, compiled, {threads} threads", **fast}
    yield {"what": "rank_encode, compiled, 1 thread", **one}
    yield {"what": f"rank_encode, numpy, {threads} threads", **numpy}
    yield {"what": "plain argsort a cell, dense chunks", **plain}
    for kind in ("best", "median"):
        ratio = fast[f"cells_per_s_{kind}"] / plain[f"cells_per_s_{kind}"]
        yield {"what": f"ratio of {kind} times, compiled, {threads} threads to plain", "ratio": round(ratio, 1)}


def write_file(path: Path, n_cells: int) -> None:
    """An h5ad file with CELLxGENE metadata, csr, not compressed; written a block at a time."""
    rng = np.random.default_rng(0)
    block = draw_cells(_BLOCK, rng)
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        x = file.create_group("X")
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (n_cells, COLUMNS)})
        size = n_cells * GENES_PER_CELL
        data, indices = x.create_dataset("data", (size,), "f4"), x.create_dataset("indices", (size,), "i4")
        x["indptr"] = np.arange(n_cells + 1) * GENES_PER_CELL
        for start in range(0, n_cells, _BLOCK):
            cells = slice(start * GENES_PER_CELL, min(start + _BLOCK, n_cells) * GENES_PER_CELL)
            data[cells] = block.data[: cells.stop - cells.start]
            indices[cells] = block.indices[: cells.stop - cells.start]
        _write_table(file, "var", column_names(), {})
        types = np.array(["CL:0000236", "CL:0000084", "CL:0000576"])
        _write_table(
            file, "obs", [f"cell{i}" for i in range(n_cells)],
            {"cell_type_ontology_term_id": types[np.arange(n_cells) % 3].tolist()},
        )  # fmt: skip


def _write_table(file: h5py.File, name: str, index: list[str], columns: dict[str, list[str]]) -> None:
    table = file.create_group(name)
    table.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
    table.attrs["column-order"] = np.array(list(columns), dtype=h5py.string_dtype())
    for column, values in {"_index": index, **columns}.items():
        array = table.create_dataset(column, data=values, dtype=h5py.string_dtype())
        array.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


class Watch(threading.Thread):
    """Watches this process and all below it: the peak of the memory they hold together, and their processor time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._peak_kb = 0
        self._largest_kb: dict[int, int] = {}
        self._seconds: dict[int, float] = {}
        self._stopped = threading.Event()

    def run(self) -> None:
        """Look ten times a second."""
        while not self._stopped.wait(0.1):
            self._look()

    def _look(self) -> None:
        together = 0
        for pid in _family(os.getpid()):
            try:
                memory = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            held = {line.split()[0]: int(line.split()[1]) for line in memory if line.startswith(("Rss:", "Pss:"))}
            together += held["Pss:"]  # shared pages divided among those that share them
            self._largest_kb[pid] = max(self._largest_kb.get(pid, 0), held["Rss:"])
            self._seconds[pid] = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
        self._peak_kb = max(self._peak_kb, together)

    def stop(self) -> tuple[float, dict[str, float]]:
        """Seconds of processor time since the start of all these processes, and the peaks in GB."""
        self._stopped.set()
        self.join()
        peaks = {"peak_gb_all_processes": self._peak_kb, "peak_gb_largest_process": max(self._largest_kb.values())}
        return sum(self._seconds.values()), {name: round(kb / 2**20, 2) for name, kb in peaks.items()}


def _family(pid: int) -> list[int]:
    """Return the ids of a process and of all that it started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in _family(int(child)))]


def measure_file(folder: Path, *, n_cells: int, workers: int, cells_per_shard: int) -> Iterator[dict]:
    """Yield how fast an h5ad file becomes shards."""
    path, shards = folder / f"{n_cells}_cells.h5ad", folder / f"{n_cells}_shards"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # In a process of its own: the peak memory that is reported is not that of making the input.
        subprocess.run([sys.executable, __file__, "make", "--cells", str(n_cells), "--folder", str(folder)], check=True)
    vocabulary = make_vocabulary(np.random.default_rng(1))
    options = TokenizeOptions(cells_per_shard=cells_per_shard)
    shutil.rmtree(shards, ignore_errors=True)
    watch = Watch()
    watch.start()
    started, before = time.perf_counter(), time.process_time()
    manifest = tokenize(find_sources([path]), shards, vocabulary, options=options, workers=workers, progress=False)
    seconds = time.perf_counter() - started
    processor, peaks = watch.stop()
    assert manifest.total_cells == n_cells
    yield {
        "what": f"h5ad on disk to shards on disk, {n_cells:,} cells, {workers} workers",
        "cells_per_s": round(n_cells / seconds),
        "seconds": round(seconds, 1),
        "cells_per_processor_s": round(n_cells / (processor - before)),
        **peaks,
    }
    shutil.rmtree(shards)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["memory", "file", "make"])
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=default_workers(), help="processes, or threads in memory")
    parser.add_argument("--cells-per-shard", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/langcell-tokenizing"))
    options = parser.parse_args()
    if options.what == "make":
        write_file(options.folder / f"{options.cells}_cells.h5ad", options.cells)
        return
    results = (
        measure_memory(repeats=options.repeats, threads=options.workers)
        if options.what == "memory"
        else measure_file(
            options.folder, n_cells=options.cells, workers=options.workers, cells_per_shard=options.cells_per_shard
        )
    )
    for result in results:
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
