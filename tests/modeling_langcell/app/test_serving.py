import asyncio
import gc

import httpx
import pytest

from langcell.app import serving
from langcell.app.messages import PageFacts
from langcell.app.options import AppOptions

# Gradio and its server announce what they are going to change.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


class NoModel:
    """Stands for the process with the model, whose start takes seconds."""

    def __init__(self, options: AppOptions) -> None:
        self.closed = False

    def call(self, method: str, request: None = None) -> PageFacts:
        return PageFacts("none", [], [])

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def opened_loops(monkeypatch):
    """The event loops that anybody opens during the test; held here, so that none is collected unseen."""
    loops: list[asyncio.AbstractEventLoop] = []
    policy = asyncio.get_event_loop_policy()
    opened = policy.new_event_loop

    def new_event_loop() -> asyncio.AbstractEventLoop:
        loops.append(opened())
        return loops[-1]

    monkeypatch.setattr(policy, "new_event_loop", new_event_loop)
    yield loops
    for loop in loops:
        if not loop.is_running():
            loop.close()


def served_and_ended() -> None:
    from langcell.hub_cards.space.app import build

    with serving.running(build, AppOptions()) as served:
        assert "LangCell" in httpx.get(served.url, timeout=300).text
    assert not served.folder.exists()


def test_an_app_that_has_ended_leaves_no_event_loop_open(monkeypatch, opened_loops):
    monkeypatch.setattr(serving, "ModelProcess", NoModel)
    served_and_ended()
    assert len(opened_loops) >= 2  # the page's, the server's
    assert [loop for loop in opened_loops if not loop.is_closed()] == []
    gc.collect()  # what it left unclosed would be an error here, not in the test that runs next


def test_an_app_starts_where_an_event_loop_runs(monkeypatch):
    monkeypatch.setattr(serving, "ModelProcess", NoModel)

    async def in_a_notebook() -> None:
        served_and_ended()

    asyncio.run(in_a_notebook())


def test_a_second_app_takes_another_port_and_leaves_no_socket_open(monkeypatch):
    from langcell.hub_cards.space.app import build

    monkeypatch.setattr(serving, "ModelProcess", NoModel)
    with serving.running(build, AppOptions()) as first:
        with serving.running(build, AppOptions()) as second:
            assert first.url != second.url
        taken = int(first.url.rstrip("/").rpartition(":")[2])
        with pytest.raises(OSError, match=f"port {taken} is taken"), serving.running(build, AppOptions(port=taken)):
            pass
    gc.collect()  # a socket that was left open would be an error here
