import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from released_layout import write_pickle

from langcell.processing.vocabulary.pickles import read_number_dictionary, read_text_dictionary


@pytest.mark.parametrize("protocol", [pytest.param(p, id=f"protocol_{p}") for p in range(6)])
def test_numbers_of_every_kind(tmp_path: Path, protocol: int) -> None:
    numbers = {"int": 3, "float": 2.5, "i2": np.int16(-7), "f4": np.float32(0.5), "f8": np.float64(1 / 3), "big": 2**40}
    path = write_pickle(tmp_path / "numbers.pkl", numbers, protocol)
    found = read_number_dictionary(path)
    assert found == {
        name: number.item() if isinstance(number, np.generic) else number for name, number in numbers.items()
    }
    assert {type(number) for number in found.values()} == {int, float}


def test_byte_order_is_kept(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "numbers.pkl", {"big endian": np.array([1.5], dtype=">f8")[0]})
    assert read_number_dictionary(path) == {"big endian": 1.5}


def test_text(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "names.pkl", {"MS4A1": "ENSG00000156738"})
    assert read_text_dictionary(path) == {"MS4A1": "ENSG00000156738"}


class _Calls:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(lambda mark: _Calls(os.system, f"touch {mark}"), id="os_system"),
        pytest.param(lambda mark: {"ENSG1": _Calls(os.system, f"touch {mark}")}, id="os_system_as_value"),
        pytest.param(lambda mark: {_Calls(exec, f"open({str(mark)!r}, 'w')"): 1}, id="exec_as_key"),
        pytest.param(lambda mark: {"ENSG1": _Calls(eval, f"open({str(mark)!r}, 'w')")}, id="eval"),
        pytest.param(lambda mark: {"ENSG1": _Calls(Path.touch, mark)}, id="pathlib"),
        pytest.param(lambda mark: {"ENSG1": _Calls(np.save, str(mark), 1)}, id="other_numpy_function"),
        pytest.param(lambda mark: {"ENSG1": _Calls(getattr, "text", "__class__")}, id="getattr"),
    ],
)
def test_hostile_pickles_run_nothing(tmp_path: Path, attack) -> None:
    mark = tmp_path / "was_run"
    path = write_pickle(tmp_path / "hostile.pkl", attack(mark))
    for read in (read_number_dictionary, read_text_dictionary):
        with pytest.raises(ValueError, match="nothing of it was run"):
            read(path)
    assert not mark.exists()


_SCALAR = b"cnumpy.core.multiarray\nscalar\n"
_DTYPE = b"cnumpy\ndtype\n"
_ENTRY = b"}VENSG1\n"


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(_ENTRY + _SCALAR + b"(" + _DTYPE + b"(VO8\ntRC\x08" + b"A" * 8 + b"tRs.", id="object_dtype"),
        pytest.param(_ENTRY + _SCALAR + b"(" + _DTYPE + b"(Vf8\ntRC\x04" + b"A" * 4 + b"tRs.", id="too_few_bytes"),
        pytest.param(_ENTRY + _SCALAR + b"(" + _DTYPE + b"(Vf8\ntRC\x10" + b"A" * 16 + b"tRs.", id="two_numbers"),
        pytest.param(_SCALAR + b"(N}V__doc__\nVx\nstb.", id="setting_attributes"),
        pytest.param(_DTYPE + b"(Vf8\ntR(I3\nVO\nNtb.", id="byte_order"),
        pytest.param(_DTYPE + b"(tR.", id="call_without_arguments"),
        pytest.param(b"Vname\nQ.", id="persistent_id"),
        pytest.param(b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", id="huge_frame"),
        pytest.param(b"", id="empty"),
        pytest.param(b"no pickle", id="no_pickle"),
        pytest.param(b"}VENSG1\nI1\n", id="cut_off"),
    ],
)
def test_crafted_and_damaged_programs(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "crafted.pkl"
    path.write_bytes(program)
    with pytest.raises(ValueError, match="is not a pickled dict"):
        read_number_dictionary(path)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        pytest.param([1, 2], "holds a list", id="list"),
        pytest.param({1: 2}, "int to int", id="int_keys"),
        pytest.param({"a": [1]}, "str to list", id="list_values"),
        pytest.param({"a": None}, "str to NoneType", id="none"),
        pytest.param({"a": True}, "str to bool", id="bool"),
        pytest.param({"a": "ENSG1"}, "str to str", id="text"),
        pytest.param({"a": {"b": 1}}, "str to dict", id="nested"),
        pytest.param({"a": 1j}, "complex", id="complex"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        read_number_dictionary(write_pickle(tmp_path / "content.pkl", content))


def test_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it asks for"):
        read_number_dictionary(write_pickle(tmp_path / "array.pkl", {"a": np.zeros(3)}))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_number_dictionary(tmp_path / "none.pkl")


def test_crafted_scalar_is_a_plain_number_where_it_fits(tmp_path: Path) -> None:
    path = tmp_path / "crafted.pkl"
    path.write_bytes(_ENTRY + _SCALAR + b"(" + _DTYPE + b"(Vi2\ntRC\x02\x05\x00tRs.")
    assert read_number_dictionary(path) == pickle.loads(pickle.dumps({"ENSG1": 5}))
