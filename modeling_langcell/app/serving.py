"""Starting the app and ending it: limits, where temporary files are, and that nothing is left of them."""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from langcell.app.actions import Actions
from langcell.app.agent_tools import AgentTools
from langcell.app.messages import PageFacts
from langcell.app.model_process import ModelProcess
from langcell.app.options import AppOptions
from langcell.app.sessions import Sessions

if TYPE_CHECKING:
    import gradio as gr


@dataclass(frozen=True)
class Page:
    """A layout, and how it looks."""

    blocks: "gr.Blocks"
    theme: "gr.Theme"
    css: str


Build = Callable[[Actions, PageFacts], Page]
Result = TypeVar("Result")

_FIRST_PORT, _MOST_PORTS = 7860, 100

# Gradio asks its own servers for its latest version and counts its starts unless these are set.
_SETTINGS = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class RunningApp:
    """A running app.

    Attributes:
        url: where it answers.
        folder: all of its temporary files.
        sessions: its open pages.
    """

    url: str
    folder: Path
    sessions: Sessions


def serve(build: Build, options: AppOptions, *, open_browser: bool = False) -> None:
    """Serve the app until Ctrl+C or SIGTERM.

    Args:
        build: makes the page.
        options: options of the app.
        open_browser: open the page here.

    Raises:
        ValueError: the model cannot be loaded.
        OSError: the port is taken.
    """
    with ended_by_sigterm(), running(build, options, open_browser=open_browser) as served:
        print(f"LangCell app: {served.url} (Ctrl+C ends it)", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("Ended.")


@contextmanager
def running(build: Build, options: AppOptions, *, open_browser: bool = False) -> Iterator[RunningApp]:
    """Yield the app while the block lasts; its temporary files are gone afterwards. Errors are those of `serve`."""
    folder = Path(tempfile.mkdtemp(prefix="langcell-app-")).resolve()
    environment = {**_SETTINGS, "GRADIO_TEMP_DIR": str(folder)}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    process = None
    try:
        process, sessions = ModelProcess(options), Sessions(folder)
        actions, facts = Actions(options, sessions, process), process.call("page_facts")
        tools = AgentTools(options, sessions, process, folder) if options.tools else None
        page = _in_an_event_loop(lambda: _with_tools(build(actions, facts), tools))
        try:
            url = _in_an_event_loop(lambda: _launch(page, options, open_browser))
            threading.Thread(target=_warm_up, args=(process,), daemon=True).start()
            yield RunningApp(url, folder, sessions)
        finally:
            page.blocks.close(verbose=False)
    finally:
        if process is not None:
            process.close()
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl+C does, so that what it cleans up is cleaned up."""

    def interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _in_an_event_loop(work: Callable[[], Result]) -> Result:
    """Do some work of Gradio's inside a running event loop, which is closed at its end.

    Where no loop runs, Gradio opens one for each of its locks, eight per app, and closes none of them. The thread is
    there because the caller may be inside a loop, as in a notebook, and loops of one thread do not nest.
    """

    async def awaited() -> Result:
        return work()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(lambda: asyncio.run(awaited())).result()


def _with_tools(page: Page, tools: AgentTools | None) -> Page:
    if tools is not None:
        with page.blocks:
            tools.register()
    return page


def _warm_up(process: ModelProcess) -> None:
    with suppress(ValueError):  # the app may end before
        process.call("warm_up")


def _launch(page: Page, options: AppOptions, open_browser: bool) -> str:
    """Serve the page; returns its address.

    Raises:
        OSError: the port is taken, or none is free.
    """
    # One naming or search at a time; the others wait in the queue, and when it is full, the page says so.
    page.blocks.queue(max_size=options.queue_size, default_concurrency_limit=1, api_open=False)
    # Gradio looks for a port, too, but leaves a socket open for each one that is taken.
    for port in [options.port] if options.port else range(_FIRST_PORT, _FIRST_PORT + _MOST_PORTS):
        if _is_free(port):
            try:
                return _serve_at(port, page, options, open_browser)
            except OSError:  # somebody was faster
                continue
    if options.port:
        raise OSError(f"port {options.port} is taken; give another, or 0 for the first free one.")
    raise OSError(f"no port from {_FIRST_PORT} to {_FIRST_PORT + _MOST_PORTS - 1} is free; end another app.")


def _is_free(port: int) -> bool:
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _serve_at(port: int, page: Page, options: AppOptions, open_browser: bool) -> str:
    _, url, _ = page.blocks.launch(
        server_name=options.host,
        server_port=port,
        max_file_size=f"{options.max_upload_mb}mb",
        inbrowser=open_browser,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        show_error=True,
        ssr_mode=False,
        pwa=False,
        run_history=False,
        enable_monitoring=False,
        mcp_server=options.tools,
        footer_links=[],
        theme=page.theme,
        css=page.css,
    )
    # Without the package mcp, and beside its version 2, Gradio starts without the tools and says nothing.
    if options.tools and not page.blocks.mcp_server_obj:
        raise ValueError('The tools need the package mcp below 2: pip install "langcell[mcp]".')
    return url
