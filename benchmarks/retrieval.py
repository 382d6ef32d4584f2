"""How fast `langcell retrieve` searches: exact over random unit vectors on the disk, and by a faiss index.

The vectors lie around 500 random centres, as cells around their types do: a faiss index has nothing to go by in vectors
without any order, and an exact search takes the same time for all.


    python benchmarks/retrieval.py --cells 1000000 --folder /tmp/vectors -o benchmarks/results/retrieval.json

Writes one .npy store of float16 or float32 per size (kept for the next run), searches it for 1, 10 and 100 queries, and
says seconds, cells/s and GB/s of the fastest repeat (on a machine that does other work as well the slow ones measure
that), and the median. The first may read the disk ("first_s"). The finds of the first query are compared with a sort.
"""

import argparse
import json
import platform
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from langcell.inference.search.nearest import search_exact
from langcell.processing.cells.embedding_store import EmbeddingStore, open_embeddings, save_embeddings

DIM, TOP_K, N_CENTRES, SPREAD = 256, 10, 500, 0.5
SETTINGS = {"model_id": "random", "model_revision": "none", "vocabulary_fingerprint": "none"}


class RandomVectors:
    """Random unit vectors, (cells, 256), drawn a slice at a time, so that any number fits in memory."""

    dtype = np.dtype(np.float32)

    def __init__(self, n_cells: int) -> None:
        self.shape = (n_cells, DIM)
        self.centres = _unit(np.random.default_rng(0).standard_normal((N_CENTRES, DIM), dtype=np.float32))

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        rng = np.random.default_rng(start)
        drawn = _unit(rng.standard_normal((stop - start, DIM), dtype=np.float32)) * SPREAD
        return _unit(drawn + self.centres[rng.integers(0, N_CENTRES, stop - start)])


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_store(path: Path, n_cells: int, dtype: str) -> None:
    """Write a store of random unit vectors, unless it is there."""
    if not path.exists():
        save_embeddings(path, EmbeddingStore("random", RandomVectors(n_cells), SETTINGS), dtype=dtype)


def time_search(search: Any, repeats: int) -> tuple[Any, list[float]]:
    """Return the last result, and the seconds of each run."""
    seconds, result = [], None
    for _ in range(repeats):
        started = time.perf_counter()
        result = search()
        seconds.append(time.perf_counter() - started)
    return result, seconds


def measure_exact(store: EmbeddingStore, n_queries: int, repeats: int, device: str) -> dict[str, Any]:
    """Seconds of an exact search, and whether the first query's finds are those of a plain sort."""
    queries = RandomVectors(10**9)[7 : 7 + n_queries]
    (_, rows), seconds = time_search(lambda: search_exact(store.blocks(), queries, TOP_K, device=device), repeats)
    products = np.concatenate([block.astype(np.float32) @ queries[0] for _, block in store.blocks()])
    best = min(seconds)
    return {
        "queries": n_queries,
        "first_s": round(seconds[0], 3),
        "best_s": round(best, 3),
        "median_s": round(statistics.median(seconds), 3),
        "million_cells_per_s": round(store.n_cells / best / 1e6, 2),
        "gb_per_s": round(store.n_cells * DIM * store.vectors.dtype.itemsize / best / 1e9, 2),
        "equal_to_a_sort": bool((np.sort(rows[0]) == np.sort(np.argsort(-products, kind="stable")[:TOP_K])).all()),
    }


def measure_faiss(store: EmbeddingStore, n_queries: int, repeats: int) -> dict[str, Any]:
    """Seconds to build and search an index, and the share of the exact finds that it finds."""
    from langcell.inference.search.faiss_index import FaissIndex

    started = time.perf_counter()
    index = FaissIndex.build(store)
    built = time.perf_counter() - started
    queries = RandomVectors(10**9)[7 : 7 + n_queries]
    (_, rows), seconds = time_search(lambda: index.search(store, queries, TOP_K), repeats)
    expected = search_exact(store.blocks(), queries, TOP_K)[1]
    found = [len(set(a) & set(b)) / TOP_K for a, b in zip(rows, expected, strict=True)]
    return {
        "queries": n_queries,
        "build_s": round(built, 1),
        "best_s": round(min(seconds), 4),
        "median_s": round(statistics.median(seconds), 4),
        "recall_at_10": round(float(np.mean(found)), 4),
        "first_find_right": round(float((rows[:, 0] == expected[:, 0]).mean()), 4),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--dtype", choices=["float16", "float32"], default="float32")
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--faiss", action="store_true", help="also build and search an index")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, required=True, help="where the vectors are kept")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    results = []
    for n_cells in options.cells:
        path = options.folder / f"{n_cells}-{options.dtype}.npy"
        make_store(path, n_cells, options.dtype)
        with open_embeddings(path) as store:
            for n_queries in options.queries:
                found = measure_exact(store, n_queries, options.repeats, options.device)
                results.append({"cells": n_cells, "dtype": options.dtype, "search": "exact", **found})
                print(results[-1], flush=True)
            if options.faiss:
                found = measure_faiss(store, options.queries[-1], options.repeats)
                results.append({"cells": n_cells, "dtype": options.dtype, "search": "faiss IVF, SQfp16", **found})
                print(results[-1], flush=True)
    report = {
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": options.device,
        "torch": torch.__version__,
        "dim": DIM,
        "top_k": TOP_K,
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "results": results,
    }
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
