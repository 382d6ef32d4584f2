"""An approximate index of an embedding store, by faiss: for stores that are too large to be read for each search."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from langcell.processing.cells.embedding_store import EmbeddingStore
from langcell.processing.files.atomic_output import atomic_output

if TYPE_CHECKING:
    import faiss

DEFAULT_PROBES = 32

# Below this an inverted file has too few cells a list to learn from, and a flat index is fast anyway.
_LEAST_CELLS_FOR_LISTS = 40_000
_TRAINING_CELLS_PER_LIST = 40  # faiss asks for at least 39
_SAMPLED_ROWS = 1000


class FaissIndex:
    """An index, and which store it is of.

    Cells are in lists around centres ("IVF") as half-precision vectors ("SQfp16"); a search looks at the `probes`
    lists nearest to the query. Small stores get a flat index, which is exact. What is found is compared once more with
    the store's own vectors, so that similarities are exact, and only what is found at all is approximate.

    Args:
        index: index of faiss, for inner products.
        facts: what `store_facts` says of the store that it is of.
        probes: lists looked at in a search.
    """

    def __init__(self, index: "faiss.Index", facts: dict[str, Any], *, probes: int = DEFAULT_PROBES) -> None:
        self.index, self.facts, self.probes = index, facts, probes

    @classmethod
    def open_or_build(cls, path: str | Path, store: EmbeddingStore, *, probes: int = DEFAULT_PROBES) -> "FaissIndex":
        """Read the index at `path`; where there is none, build it and write it there (and PATH.json beside it).

        Raises:
            ValueError: it is no index, or the index of another store.
        """
        path = Path(path)
        if not path.exists():
            built = cls.build(store, probes=probes)
            built.save(path)
            return built
        opened = cls.load(path, probes=probes)
        opened.check_store(store)
        return opened

    @classmethod
    def build(cls, store: EmbeddingStore, *, probes: int = DEFAULT_PROBES, seed: int = 0) -> "FaissIndex":
        """Index a store; `seed` draws the cells that the centres are learnt from."""
        faiss = _faiss()
        n_lists = int(4 * np.sqrt(store.n_cells))
        if store.n_cells < _LEAST_CELLS_FOR_LISTS:
            index = faiss.index_factory(store.dim, "Flat", faiss.METRIC_INNER_PRODUCT)
        else:
            index = faiss.index_factory(store.dim, f"IVF{n_lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
            n_training = min(store.n_cells, _TRAINING_CELLS_PER_LIST * n_lists)
            rows = np.random.default_rng(seed).choice(store.n_cells, n_training, replace=False)
            index.train(_drawn(store, np.sort(rows)))
        for _, block in store.blocks():
            index.add(np.ascontiguousarray(block, dtype=np.float32))
        return cls(index, store_facts(store), probes=probes)

    @classmethod
    def load(cls, path: str | Path, *, probes: int = DEFAULT_PROBES) -> "FaissIndex":
        """Read an index that `save` wrote.

        Raises:
            ValueError: it is none.
        """
        try:
            index = _faiss().read_index(str(path))
            facts = json.loads(_facts_path(Path(path)).read_text(encoding="utf-8"))
        except (RuntimeError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[-200:]
            raise ValueError(f"{path} is no index of embeddings ({reason}); remove it, or name another.") from error
        return cls(index, facts, probes=probes)

    def save(self, path: str | Path) -> None:
        """Write the index and PATH.json, each whole or not at all."""
        with atomic_output(path) as temporary:
            _faiss().write_index(self.index, str(temporary))
        with atomic_output(_facts_path(Path(path))) as temporary:
            temporary.write_text(json.dumps(self.facts, indent=2) + "\n", encoding="utf-8")

    def check_store(self, store: EmbeddingStore) -> None:
        """Refuse a store that it is not of.

        Raises:
            ValueError: it is of another.
        """
        if self.facts != store_facts(store):
            raise ValueError(f"The index is not of the embeddings in {store.name}; name another file, and it is made.")

    def search(self, store: EmbeddingStore, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the similarities and rows, best first, both (queries, at most k); as `search_exact`, but approximate.

        Where the lists looked at hold fewer than k cells for some query, more lists are looked at.
        """
        k, probes = min(k, store.n_cells), self.probes
        rows = self._search(queries, k, probes)
        while (rows < 0).any() and probes < getattr(self.index, "nlist", 0):
            probes *= 4
            rows = self._search(queries, k, probes)
        products = np.stack([store.at(found) @ query for found, query in zip(rows, queries, strict=True)])
        order = np.lexsort((rows, -products), axis=1)
        return np.take_along_axis(products, order, 1), np.take_along_axis(rows, order, 1)

    def _search(self, queries: np.ndarray, k: int, probes: int) -> np.ndarray:
        faiss, lists = _faiss(), getattr(self.index, "nlist", None)
        parameters = {} if lists is None else {"params": faiss.SearchParametersIVF(nprobe=min(probes, lists))}
        return self.index.search(np.ascontiguousarray(queries, dtype=np.float32), k, **parameters)[1]


def store_facts(store: EmbeddingStore) -> dict[str, Any]:
    """Return what tells stores apart: model, size, and a digest of rows at the begin, in the middle and at the end."""
    digest = hashlib.sha256()
    for start in sorted({0, store.n_cells // 2, max(0, store.n_cells - _SAMPLED_ROWS)}):
        digest.update(np.ascontiguousarray(store.vectors[start : start + _SAMPLED_ROWS]).tobytes())
    return {
        "model_revision": str(store.settings["model_revision"]),
        "cells": store.n_cells,
        "dim": store.dim,
        "sampled_sha256": digest.hexdigest(),
    }


def _drawn(store: EmbeddingStore, rows: np.ndarray) -> np.ndarray:
    """Vectors of sorted rows, read block by block: there are too many for one read each."""
    kept = [block[rows[(rows >= start) & (rows < start + len(block))] - start] for start, block in store.blocks()]
    return np.concatenate(kept).astype(np.float32)


def _facts_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ValueError(f'An index needs faiss: pip install "langcell[scale]" ({error}).') from error
    return faiss
