"""Reading pickled dictionaries of names and numbers without running what the file says.

A pickle is a program: loading a stranger's file with the standard unpickler runs any code that its author chose. Here
nothing can be called but three small stand-ins for what pickled numpy scalars need.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

_LONGEST_ERROR = 200


def read_number_dictionary(path: str | Path) -> dict[str, float]:
    """Read a pickled dict of str to numbers (Python's or numpy's), as Geneformer publishes its dictionaries.

    Integers come back as int, other numbers as float.

    Raises:
        ValueError: the file is no such dictionary, or it asks for anything else to be loaded or called.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "medians.pkl"
    >>> _ = path.write_bytes(pickle.dumps({"ENSG00000156738": np.float64(2.5), "<pad>": 0}))
    >>> read_number_dictionary(path)
    {'ENSG00000156738': 2.5, '<pad>': 0}
    """
    return _read_dictionary(path, (int, float), "numbers")


def read_text_dictionary(path: str | Path) -> dict[str, str]:
    """Read a pickled dict of str to str, such as Geneformer's gene names.

    Raises:
        ValueError: as for `read_number_dictionary`.
    """
    return _read_dictionary(path, (str,), "text")


def _read_dictionary(path: str | Path, value_types: tuple[type, ...], what: str) -> dict[str, Any]:
    try:
        content = _DictionaryUnpickler(io.BytesIO(Path(path).read_bytes())).load()
    except OSError:
        raise
    except Exception as error:
        # A damaged or hostile pickle can end in nearly any exception; to the user they all mean the same.
        reason = " ".join(str(error).split())[:_LONGEST_ERROR] or type(error).__name__
        raise ValueError(f"{path} is not a pickled dict of str to {what} ({reason}); nothing of it was run.") from error
    if type(content) is not dict:
        raise ValueError(f"{path} holds a {type(content).__name__}; a dict of str to {what} is needed.")
    for name, value in content.items():
        if type(name) is not str or type(value) not in value_types:
            raise ValueError(
                f"{path} has an entry of {type(name).__name__} to {type(value).__name__} ({str(name)[:40]!r}); "
                f"a dict of str to {what} is needed."
            )
    return content


class _NumpyDtype:
    """Stands in for `numpy.dtype` and for the dtypes it makes: remembers a kind such as "f8" and a byte order."""

    __slots__ = ("byte_order", "kind")
    _KINDS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")

    def __init__(self, kind: str = ""):
        self.kind = kind
        self.byte_order = "="

    def __call__(self, kind: Any, align: Any = False, copy: Any = True) -> "_NumpyDtype":
        if kind not in self._KINDS:
            raise pickle.UnpicklingError(f"numpy dtype {str(kind)[:20]!r} is no plain number")
        return _NumpyDtype(kind)

    def __setstate__(self, state: Any) -> None:
        if not self.kind or not isinstance(state, tuple) or state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("damaged numpy dtype")
        self.byte_order = state[1]


class _NumpyScalar:
    """Stands in for numpy's `scalar`: makes a Python number of bytes, so that numpy never sees the file's own."""

    __slots__ = ()

    def __call__(self, dtype: Any, data: Any) -> float:
        if not isinstance(dtype, _NumpyDtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("damaged numpy scalar")
        (number,) = np.frombuffer(data, dtype=np.dtype(dtype.byte_order + dtype.kind))
        return number.item()

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a function has no state to set")


class _Latin1Encode:
    """Stands in for `_codecs.encode`, by which pickles of protocol 2 write bytes."""

    __slots__ = ()

    def __call__(self, text: Any, encoding: Any) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError("damaged bytes")
        return text.encode("latin1")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a function has no state to set")


class _DictionaryUnpickler(pickle.Unpickler):
    """Knows the three names that pickled numpy scalars contain; any other is an error."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Return what the file may name, made again each time, so that one entry cannot change it for the next."""
        match module_name, global_name:
            case ("numpy", "dtype"):
                return _NumpyDtype()
            case ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar"):
                return _NumpyScalar()
            case ("_codecs", "encode"):
                return _Latin1Encode()
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}"[:_LONGEST_ERROR])

    def persistent_load(self, pid: Any, /) -> Any:
        """No file of ours refers to objects outside of it."""
        raise pickle.UnpicklingError("it refers to an object outside of the file")
