"""The nearest of many unit vectors: exact, by blocked matrix products with a running top-k."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

# (queries x rows) products in memory at once.
_MOST_PRODUCTS = 1 << 26
# Rows multiplied at once. On a CPU the float32 copy of half-precision rows then stays in the cache and in memory that
# it used before: three times as fast as 65,536 rows. A GPU wants more at once.
_MOST_ROWS = {"cpu": 8192, "cuda": 65_536}


def search_exact(
    blocks: Iterable[tuple[int, np.ndarray]], queries: np.ndarray, k: int, *, device: torch.device | str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k rows with the greatest inner product with each query.

    Of rows with the same product, the first wins, so that the result depends on neither blocks nor device but by
    rounding. Products are computed in float32, whatever the rows are stored in.

    Args:
        blocks: first row and vectors (rows, dim) of consecutive blocks, such as `EmbeddingStore.blocks` gives.
        queries: (queries, dim).
        k: rows wanted; all of them where there are fewer.
        device: where the products are computed.

    Returns:
        Products, float32, falling, and row numbers, int64; both (queries, min(k, rows)).

    Raises:
        ValueError: k is below 1, there are no rows, or a vector is not finite.

    >>> vectors = np.array([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    >>> products, rows = search_exact([(0, vectors[:2]), (2, vectors[2:])], vectors[:1], k=2)
    >>> rows.tolist(), [round(float(product), 2) for product in products[0]]
    ([[0, 2]], [1.0, 0.8])
    """
    if k < 1:
        raise ValueError(f"k is {k}; give the number of rows wanted, 1 or more.")
    asked = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32)).to(device)
    best = _Best(len(asked), k)
    most_rows = _MOST_ROWS.get(asked.device.type, _MOST_ROWS["cpu"])
    step = max(1, min(most_rows, _MOST_PRODUCTS // max(1, len(asked))))
    for block_start, block in blocks:
        for start in range(0, len(block), step):
            rows = np.ascontiguousarray(block[start : start + step])
            vectors = torch.from_numpy(rows).to(device).float()
            if not vectors.sum().isfinite():  # ten times as fast as asking each number
                first = block_start + start
                raise ValueError(
                    f"Rows {first} to {first + len(rows)} hold NaN or infinite embeddings; make them again."
                )
            best.add(block_start + start, asked @ vectors.T)
    return best.finish()


class _Best:
    """The best k rows so far of each query."""

    def __init__(self, n_queries: int, k: int) -> None:
        self.k, self.n_queries = k, n_queries
        self.query = np.empty(0, dtype=np.int64)
        self.product = np.empty(0, dtype=np.float32)
        self.row = np.empty(0, dtype=np.int64)
        self.floor: Tensor | None = None  # the k-th best product of each query, once there are k

    def add(self, start: int, products: Tensor) -> None:
        """Look at a block of products (queries, rows), whose first row is `start`."""
        if self.floor is None:
            least = products.topk(min(self.k, products.shape[1])).values[:, -1:]
            hits = products >= least
        else:
            hits = products > self.floor.to(products.device)  # an equal one comes later, and so loses
        query, column = (index.cpu().numpy() for index in hits.nonzero(as_tuple=True))
        if not len(query):
            return
        found = products[hits].cpu().numpy()
        self._merge(query, found, column + start)

    def _merge(self, query: np.ndarray, product: np.ndarray, row: np.ndarray) -> None:
        query = np.concatenate([self.query, query])
        product, row = np.concatenate([self.product, product]), np.concatenate([self.row, row])
        order = np.lexsort((row, -product, query))
        firsts = np.searchsorted(query[order], np.arange(self.n_queries))
        rank = np.arange(len(order)) - firsts[query[order]]
        kept = order[rank < self.k]
        self.query, self.product, self.row = query[kept], product[kept], row[kept]
        if len(kept) == self.n_queries * self.k:
            self.floor = torch.from_numpy(self.product.reshape(self.n_queries, self.k)[:, -1:].copy())

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Products and rows, (queries, found)."""
        if not len(self.row):
            raise ValueError("There are no embeddings to search; give at least one.")
        shape = (self.n_queries, -1)
        return self.product.reshape(shape), self.row.reshape(shape)
