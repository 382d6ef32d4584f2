"""Shards to batches: several folders mixed, shuffled, in batches of like lengths, per process, and exactly resumable.

`datasets` streams the parquet files; its own shuffle buffer is not used because its content is lost when a run resumes.
Instead cells are taken in *windows* of some batches: drawn from the folders by weight, shuffled, sorted by length, cut
into batches, and the batches shuffled. All of it follows from (seed, process, number of the window) and the position of
each folder at the start of the window, so the state of the stream is a few integers, and a resumed run re-reads at most
one window. Folders are read for ever: each time a folder ends, its files are put in a new order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import load_dataset
from datasets.distributed import split_dataset_by_node
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from langcell.processing.shards import read_descriptions, read_manifest

UNKNOWN = -1


class Cell(NamedTuple):
    """One cell of a shard: ranked gene ids with `<cls>` first, and the code of its description (-1: none)."""

    input_ids: np.ndarray
    description: int


@dataclass(frozen=True)
class Descriptions:
    """The distinct descriptions of all shard folders of a run, and their cell types.

    Codes are positions in these lists, the same on every process.

    Attributes:
        texts: the text of each description.
        cell_types: the cell type code of each description, -1 where it has none.
        terms: the ontology id of each cell type code.
    """

    texts: list[str]
    cell_types: np.ndarray
    terms: list[str]

    @staticmethod
    def read(folders: Sequence[Path]) -> tuple["Descriptions", list[dict[int, int]]]:
        """Join the description tables of shard folders.

        Returns:
            The descriptions, and for each folder a map from its own description ids to codes. Equal texts of the same
            cell type get one code, whatever folder they are in; an empty text gets none.
        """
        code_of: dict[tuple[str, str], int] = {}
        maps = []
        for folder in folders:
            rows = [(row.text, row.cell_type_ontology_term_id) for row in read_descriptions(folder)]
            maps.append({own: code_of.setdefault(row, len(code_of)) for own, row in enumerate(rows) if row[0]})
        terms = sorted({term for _, term in code_of if term})
        type_of = {term: code for code, term in enumerate(terms)}
        cell_types = np.array([type_of.get(term, UNKNOWN) for _, term in code_of], dtype=np.int64)
        return Descriptions([text for text, _ in code_of], cell_types, terms), maps


class ShardReader:
    """The cells of one shard folder that belong to one process, for ever.

    Args:
        files: paths of the folder's parquet files, at least one.
        description_codes: the folder's description ids to codes; ids that are not in it become -1.
        seed: of the order of the files.
        rank: number of this process, of `world_size`.
    """

    def __init__(
        self,
        files: list[str],
        *,
        description_codes: dict[int, int],
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.files, self.description_codes = files, description_codes
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self._open(epoch=0)

    def _open(self, *, epoch: int, position: dict[str, Any] | None = None) -> None:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.files))
        files = [self.files[int(i)] for i in order]
        dataset = load_dataset("parquet", data_files=files, split="train", streaming=True)
        dataset = dataset.select_columns(["input_ids", "description_id"])
        self._dataset = split_dataset_by_node(dataset, rank=self.rank, world_size=self.world_size)
        if position is not None:
            self._dataset.load_state_dict(position)
        self._epoch = epoch
        self._rows = iter(self._dataset)

    def take(self, count: int) -> list[Cell]:
        """The next `count` cells, from as many rounds through the folder as it needs."""
        cells: list[Cell] = []
        empty_rounds = 0
        while len(cells) < count:
            row = next(self._rows, None)
            if row is not None:
                ids = np.array(row["input_ids"], dtype=np.int32)
                cells.append(Cell(ids, self.description_codes.get(row["description_id"], UNKNOWN)))
                empty_rounds = 0
                continue
            empty_rounds += 1
            if empty_rounds > 1:
                where = Path(self.files[0]).parent
                raise ValueError(f"{where} has no cell for process {self.rank} of {self.world_size}.")
            self._open(epoch=self._epoch + 1)
        return cells

    def state_dict(self) -> dict[str, Any]:
        """Position in the folder."""
        return {"epoch": self._epoch, "position": self._dataset.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a position that `state_dict` gave."""
        self._open(epoch=state["epoch"], position=state["position"])

    def close(self) -> None:
        """Let go of the open file."""
        self._rows = iter(())


def open_shards(
    folders: Sequence[Path], *, code_maps: Sequence[dict[int, int]], seed: int, rank: int = 0, world_size: int = 1
) -> list[ShardReader]:
    """A reader for each finished shard folder; `code_maps` come from `Descriptions.read`."""
    files = [read_manifest(folder).shard_paths(folder) for folder in folders]
    return [
        ShardReader(paths, description_codes=codes, seed=seed, rank=rank, world_size=world_size)
        for paths, codes in zip(files, code_maps, strict=True)
    ]


class CellBatches:
    """An endless iterator of lists of cells, as the head of this file says.

    Args:
        readers: one for each shard folder.
        weights: their shares of the cells; any positive numbers.
        batch_size: cells a batch.
        window: batches that are shuffled and sorted together.
        max_length: what counts as the length of a cell that will be cut.
        seed: of the draws and the shuffling.
        rank: number of this process.
    """

    def __init__(
        self,
        readers: Sequence[ShardReader],
        *,
        weights: Sequence[float],
        batch_size: int,
        window: int,
        max_length: int,
        seed: int,
        rank: int = 0,
    ):
        if len(weights) != len(readers) or min(weights) <= 0:
            raise ValueError(f"Weights {list(weights)} do not give each of {len(readers)} folders a number above 0.")
        self.readers, self.shares = readers, np.array(weights) / np.sum(weights)
        self.batch_size, self.window, self.max_length = batch_size, window, max_length
        self.seed, self.rank = seed, rank
        self._window_index = 0
        self._next_batch = 0
        self._batches: list[list[Cell]] = []
        self._window_start: list[dict[str, Any]] = [reader.state_dict() for reader in readers]

    def __iter__(self) -> Iterator[list[Cell]]:
        return self

    def __next__(self) -> list[Cell]:
        if self._next_batch == len(self._batches):
            if self._batches:
                self._window_index += 1
                self._window_start = [reader.state_dict() for reader in self.readers]
            self._batches, self._next_batch = self._draw_window(), 0
        self._next_batch += 1
        return self._batches[self._next_batch - 1]

    def _draw_window(self) -> list[list[Cell]]:
        rng = np.random.default_rng([self.seed, self.rank, self._window_index])
        counts = rng.multinomial(self.batch_size * self.window, self.shares)
        cells = [cell for reader, n in zip(self.readers, counts, strict=True) for cell in reader.take(int(n))]
        shuffled = rng.permutation(len(cells))
        lengths = np.minimum([len(cells[i].input_ids) for i in shuffled], self.max_length)
        by_length = shuffled[np.argsort(lengths, kind="stable")].reshape(self.window, self.batch_size)
        return [[cells[i] for i in batch] for batch in rng.permutation(by_length)]

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch stands."""
        return {"window": self._window_index, "next_batch": self._next_batch, "readers": self._window_start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a position that `state_dict` gave; reads one window."""
        for reader, position in zip(self.readers, state["readers"], strict=True):
            reader.load_state_dict(position)
        self._window_index, self._window_start = state["window"], state["readers"]
        self._batches = self._draw_window() if state["next_batch"] else []
        self._next_batch = state["next_batch"]

    def close(self) -> None:
        """Let go of open files."""
        for reader in self.readers:
            reader.close()


class BatchCollator:
    """Cells to tensors, padded to the longest of the batch, and each distinct description once.

    Args:
        descriptions: of the run.
        max_length: ids a cell, `<cls>` included; more are cut off.
        pad_token_id: id that pads cells.
        tokenizer: of the text encoder; None: no texts are made (stage 1).
        max_text_length: word pieces a text.
    """

    def __init__(
        self,
        descriptions: Descriptions,
        *,
        max_length: int,
        pad_token_id: int,
        tokenizer: PreTrainedTokenizerBase | None = None,
        max_text_length: int = 256,
    ):
        self.descriptions, self.tokenizer = descriptions, tokenizer
        self.max_length, self.pad_token_id, self.max_text_length = max_length, pad_token_id, max_text_length

    def __call__(self, cells: Sequence[Cell]) -> dict[str, Tensor]:
        """Tensors of a batch of B cells with T distinct texts.

        Returns:
            `cell_input_ids`, `cell_attention_mask` `[B, G]`; `cell_description`, `cell_type` `[B]` codes. With a
            tokenizer also `input_ids`, `attention_mask` `[T, L]`; `text_description`, `text_type` `[T]` codes;
            `own_text` `[B]`, the row of each cell's text.
        """
        rows = [torch.as_tensor(cell.input_ids[: self.max_length], dtype=torch.long) for cell in cells]
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.pad_token_id)
        codes = torch.tensor([cell.description for cell in cells])
        batch = {
            "cell_input_ids": ids,
            "cell_attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long(),
            "cell_description": codes,
            "cell_type": self._cell_types(codes),
        }
        return batch if self.tokenizer is None else batch | self._texts(codes)

    def _texts(self, codes: Tensor) -> dict[str, Tensor]:
        assert self.tokenizer is not None
        if (codes < 0).any():
            raise ValueError("A cell without a description came up in stage 2. Use such shards in stage 1 only.")
        distinct, own_text = codes.unique(return_inverse=True)
        encoded = self.tokenizer(
            [self.descriptions.texts[code] for code in distinct.tolist()],
            padding=True,
            truncation=True,
            max_length=self.max_text_length,
            return_tensors="pt",
        )
        return {
            "input_ids": encoded["input_ids"],
            "attention_mask": encoded["attention_mask"],
            "text_description": distinct,
            "text_type": self._cell_types(distinct),
            "own_text": own_text,
        }

    def _cell_types(self, codes: Tensor) -> Tensor:
        if len(self.descriptions.cell_types) == 0:
            return torch.full_like(codes, UNKNOWN)
        types = torch.as_tensor(self.descriptions.cell_types)[codes.clamp(min=0)]
        return types.where(codes >= 0, UNKNOWN)
