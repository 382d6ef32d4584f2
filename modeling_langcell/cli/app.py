"""`langcell app`: naming and searching cells in a browser."""

from collections.abc import Callable
from typing import Annotated

import typer

Command = Callable[..., None]


def register(app: typer.Typer, one_line_errors: Callable[[Command], Command]) -> None:
    """Add `app` to `app`; `one_line_errors` turns what a user can mend into one line and exit code 2."""
    app.command("app")(one_line_errors(start_app))


def start_app(
    model: Annotated[
        str, typer.Option("--model", help="Folder, Hub id, or langcell-mini (bundled).")
    ] = "langcell-mini",
    adapter: Annotated[str, typer.Option(help="Folder or Hub id of what finetune made of the model.")] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, ...; the best one here when not given.")] = "",
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16, float16, or auto: bfloat16 where it is fast.")
    ] = "auto",
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in, and there is no password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: the first free one from 7860 on.")] = 0,
    max_upload_mb: Annotated[int, typer.Option(help="Size of an uploaded file at most, in MB.")] = 500,
    time_limit: Annotated[int, typer.Option(help="Seconds that one naming or one search may take.")] = 600,
    queue_size: Annotated[int, typer.Option(help="How many naming runs and searches may wait.")] = 20,
    max_points: Annotated[int, typer.Option(help="Cells in the map; of more, so many are drawn at random.")] = 20_000,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Name cells and search them by a sentence in a browser. Needs the extra [app]."""
    from langcell.app.options import AppOptions

    options = AppOptions(model, adapter, device, dtype, host, port, max_upload_mb, time_limit, queue_size, max_points)
    try:
        from langcell.hub_cards.space.app import build
    except ImportError as error:
        raise ValueError(f'The app needs Gradio and Plotly: pip install "langcell[app]" ({error}).') from error
    from langcell.app.serving import serve

    serve(build, options, open_browser=open_browser)
