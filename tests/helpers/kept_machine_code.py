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
    _name_alike_in_all_processes(function)
    return function


def _name_alike_in_all_processes(function: Any) -> None:
    """Let code that takes this function as an argument be found again: numba draws a name for it in each process.

    The search for neighbours, which takes a distance, was compiled for ten seconds in every process.
    """
    code = function.py_func
    if "<locals>" not in code.__qualname__:  # each call makes such a function once more
        function._set_uuid(f"{code.__module__}.{code.__qualname__}:{code.__code__.co_firstlineno}")
