"""The options of the app, from the command line or, on a Space, from environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

PREFIX = "LANGCELL_"


@dataclass(frozen=True)
class AppOptions:
    """Which model the app uses, where it listens, and how much work it takes.

    Attributes:
        model: folder, Hub id, or "langcell-mini".
        adapter: folder or Hub id of what `langcell finetune` made of that model; none when empty.
        device: "cpu", "cuda", ...; the best one here when empty.
        dtype: "float32", "bfloat16", "float16" or "auto".
        host: address to listen at; only this machine reaches the default.
        port: the first free one from 7860 on when 0.
        max_upload_mb: size of an uploaded file at most, in MB.
        time_limit: seconds that one naming or one search may take.
        queue_size: how many naming runs and searches may wait.
        max_points: cells in the map at most; of more, so many are drawn at random.
    """

    model: str = "langcell-mini"
    adapter: str = ""
    device: str = ""
    dtype: str = "auto"
    host: str = "127.0.0.1"
    port: int = 0
    max_upload_mb: int = 500
    time_limit: int = 600
    queue_size: int = 20
    max_points: int = 20_000

    def __post_init__(self) -> None:
        for name in ("max_upload_mb", "time_limit", "queue_size", "max_points"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more.")
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port is {self.port}; give 1 to 65535, or 0 for a free one.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """The options in variables such as LANGCELL_MODEL and LANGCELL_TIME_LIMIT; the defaults where there is none.

        A Space says in GRADIO_SERVER_NAME where its container listens; LANGCELL_HOST goes before it.

        Raises:
            ValueError: a number is none, or not legal.

        >>> AppOptions.from_environment({"LANGCELL_TIME_LIMIT": "60"}).time_limit
        60
        """
        environment = os.environ if environment is None else environment
        given: dict[str, str | int] = {}
        if host := environment.get("GRADIO_SERVER_NAME"):
            given["host"] = host
        for field in fields(cls):
            variable = f"{PREFIX}{field.name.upper()}"
            if not (value := environment.get(variable)):
                continue
            if field.type is int and not value.isdecimal():
                raise ValueError(f"{variable} is {value!r}; give a whole number.")
            given[field.name] = int(value) if field.type is int else value
        return cls(**given)  # pyright: ignore[reportArgumentType]  # each of its field's type
