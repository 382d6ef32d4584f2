"""The options of the app, from the command line or, on a Space, from environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

from langcell.loading.options import BUNDLED_MODEL
from langcell.processing.options import option

PREFIX = "LANGCELL_"


@dataclass(frozen=True)
class AppOptions:
    """Which model the app uses, where it listens, and how much work it takes."""

    panel: ClassVar[str] = "App"

    model: str = option(BUNDLED_MODEL, "Model: folder, Hub id, or langcell-mini (bundled).")
    adapter: str = option("", "Adapter for the model: folder or Hub id of what langcell finetune wrote.")
    device: str = option("", "Device: cpu, cuda, mps, ...; the best one available when not given.")
    dtype: str = option("auto", "Number format: float32, bfloat16, float16, or auto (bfloat16 where it is fast).")
    host: str = option(
        "127.0.0.1",
        "Address to listen at. 0.0.0.0 lets other machines in, and there is no password; only this machine reaches "
        "the default.",
    )
    port: int = option(0, "Port to listen at; 0 for the first free one from 7860 on.")
    max_upload_mb: int = option(500, "Largest size of an uploaded file, in MB.")
    time_limit: int = option(600, "Longest time of one naming run or one search, in seconds.")
    queue_size: int = option(20, "Largest number of naming runs and searches that wait.")
    tools: bool = option(False, "Serve tools for agents, too: the page is then an MCP server (extra [mcp]).")
    max_points: int = option(20_000, "Largest number of cells in the map; more are drawn at random.")

    def __post_init__(self) -> None:
        for name in ("max_upload_mb", "time_limit", "queue_size", "max_points"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more.")
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port is {self.port}; give 1 to 65535, or 0 for a free one.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Return the options in variables such as LANGCELL_MODEL and LANGCELL_TIME_LIMIT; the defaults where there is
        none.

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
            if field.type is not str and not value.isdecimal():
                raise ValueError(f"{variable} is {value!r}; give a whole number{' (0 or 1)' * (field.type is bool)}.")
            given[field.name] = field.type(int(value)) if field.type in (int, bool) else value
        return cls(**given)  # pyright: ignore[reportArgumentType]  # each of its field's type
