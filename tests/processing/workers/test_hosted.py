"""An object in another process, which is killed while it works."""

from functools import partial

import pytest
from tiny_tasks import AlwaysDying, Counter

from langcell.processing.workers.hosted import HostedObject


def hosted(folder, deaths: int) -> HostedObject:
    return HostedObject(partial(Counter, str(folder), deaths))


@pytest.mark.parametrize("deaths", [0, 2, 4])
def test_a_stream_goes_on_after_the_last_item_that_came(tmp_path, caplog, deaths: int) -> None:
    counter = hosted(tmp_path, deaths)
    try:
        assert counter.attributes() == {"folder": tmp_path, "name": "counter", "deaths": deaths}
        numbers = []
        for number in counter.stream("numbers", lambda last: (9, last)):
            numbers.append(number)
            if number % 4 == 0:  # a call between the items of a stream
                assert counter.call("add", number, 1) == number + 1
        assert numbers == list(range(9))
    finally:
        counter.close()
    assert caplog.text.count("is read again (try 2 of 3)") == deaths
    assert caplog.text.count("SIGSEGV") == deaths


def test_a_call_that_always_dies_is_given_up(tmp_path) -> None:
    counter = HostedObject(partial(AlwaysDying, str(tmp_path)))
    with pytest.raises(OSError, match="3 times over the same read"):
        counter.call("add", 1, 1)
    counter.close()


def test_what_the_object_raises_arrives(tmp_path) -> None:
    counter = hosted(tmp_path, 0)
    with pytest.raises(ValueError, match="no such cell"):
        counter.call("fail")
    assert counter.call("add", 2, second=3) == 5
    counter.close()
    counter.close()
    missing = HostedObject(partial(Counter))
    with pytest.raises(TypeError, match="folder"):
        missing.attributes()
    missing.close()
