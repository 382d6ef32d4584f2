"""One process of several reads its part of a shard folder with worker processes; run by test_streaming."""

import os
import sys
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from langcell.training.data.streaming import CellBatches, Descriptions, open_shards


def main(folder: Path, meeting_place: Path, workers: int, batches: int) -> None:
    """Gather the cells of all processes by gloo, and print how often each was seen."""
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting_place}", rank=rank, world_size=ranks, timeout=timedelta(minutes=10)
    )
    _, maps = Descriptions.read([folder])
    readers = open_shards([folder], code_maps=maps, seed=0, rank=rank, world_size=ranks)
    stream = CellBatches(
        readers, weights=[1.0], batch_size=5, window=3, max_length=16, seed=0, rank=rank, workers=workers
    )
    mine = [tuple(cell.input_ids.tolist()) for _ in range(batches) for cell in next(stream)]
    stream.close()
    parts: list = [None] * ranks
    dist.all_gather_object(parts, mine)
    if rank == 0:
        print(repr(parts))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
