"""Keeps on the disk what numba compiles: UMAP, which does not ask for that, takes a dozen seconds in every process."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
from numba.core.registry import CPUDispatcher


def keep_machine_code() -> None:
    """Have `numba.njit` keep machine code, for libraries that are imported later."""
    compiled = numba.njit

    def njit(*args: Any, **options: Any) -> Any:
        made = compiled(*args, **options)
        return _kept(made) if isinstance(made, CPUDispatcher) else lambda function: _kept(made(function))

    numba.njit = njit


def _kept(function: Callable) -> Callable:
    with suppress(RuntimeError):  # there is no file
        function.enable_caching()  # pyright: ignore[reportFunctionMemberAccess]
    return function
