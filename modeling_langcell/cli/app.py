"""`langcell app`: naming and searching cells in a browser."""

from typing import Annotated

import typer

from langcell.app.options import AppOptions


def start_app(
    options: AppOptions,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Name cells and search them by a sentence in a browser (extra [app])."""
    try:
        from langcell.hub_cards.space.app import build
    except ImportError as error:
        raise ValueError(f'The app needs Gradio and Plotly: pip install "langcell[app]" ({error}).') from error
    from langcell.app.serving import serve

    serve(build, options, open_browser=open_browser)
