"""Several processes on one job: `torchrun` and `accelerate launch` start them, each takes its share of the cells."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar

import torch
import torch.distributed as dist

Item = TypeVar("Item")

# Rows are shared evenly, but not every machine is as fast: rank 0 may wait long for the last one.
_PATIENCE = timedelta(days=7)
# What a user can correct: one line on the command line.
USER_ERRORS = (ValueError, OSError, MemoryError)


@dataclass(frozen=True)
class Processes:
    """The processes of one job as one of them sees it; alone by default.

    Attributes:
        rank: number of this process, from 0.
        world_size: number of processes.
        group: what they talk through (gloo: small objects only, from and to the CPU); None when alone.
        began: whether the group was made here and not by the caller.
    """

    rank: int = 0
    world_size: int = 1
    group: Any = None
    began: bool = False

    @classmethod
    def launched(cls) -> "Processes":
        """Return those that a launcher started (by RANK and WORLD_SIZE in the environment); every one has to call this.

        Use it as a context manager, so that the conversation is ended in good order.

        Raises:
            OSError: the others cannot be reached.
        """
        world_size = int(os.environ.get("WORLD_SIZE", "1"))
        if world_size == 1:
            return cls()
        try:
            begin = not dist.is_initialized()
            if begin:
                dist.init_process_group("gloo", timeout=_PATIENCE)
            # A group of the caller's is perhaps for NCCL, which does not move objects on a CPU.
            group = dist.group.WORLD if begin else dist.new_group(backend="gloo", timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise OSError(f"the {world_size} processes cannot reach one another: {error}") from error
        return cls(dist.get_rank(), world_size, group, begin)

    @property
    def is_main(self) -> bool:
        """Whether this one prints, and joins the parts."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return the part of the items that this process works on: one run of neighbours, sizes within one of one
        another.

        >>> [Processes(rank, 2).share("abcde") for rank in (0, 1)]
        ['ab', 'cde']
        """
        return items[self.rank * len(items) // self.world_size : (self.rank + 1) * len(items) // self.world_size]

    def device(self, device: str | None) -> str | None:
        """Return the device asked for, or this process's own GPU where the launcher started one process a GPU."""
        if device is None and self.world_size > 1 and torch.cuda.is_available():
            return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
        return device

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in the order of their ranks; every process waits for the last.

        Raises:
            OSError: one of them has ended.
        """
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        try:
            dist.all_gather_object(values, value, group=self.group)
        except RuntimeError as error:
            raise OSError("another process of this run has ended before its time; see its message") from error
        return values

    @contextmanager
    def together(self) -> Iterator[None]:
        """Yield a step after which all processes go on, or none: where one cannot, it stops the others.

        Raises:
            ValueError: another process could not do its part.
        """
        failure: BaseException | None = None
        try:
            yield
        except USER_ERRORS as error:
            failure = error
        reasons = self.gather(None if failure is None else str(failure))
        if failure is not None:
            raise failure
        for rank, reason in enumerate(reasons):
            if reason is not None:
                raise ValueError(f"process {rank + 1} of {self.world_size}: {reason}")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Yield a step that each process does by itself: its error carries a note, since no other process will tell of
        it."""
        try:
            yield
        except USER_ERRORS as error:
            if self.world_size > 1:
                error.add_note(f"process {self.rank + 1} of {self.world_size}")
            raise

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the conversation, if it was begun here; safe to call when alone."""
        if self.group is not None and self.began:
            dist.destroy_process_group()
