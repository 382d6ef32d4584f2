"""`langcell mcp`: the tools of LangCell for agents, over the Model Context Protocol."""

from pathlib import Path
from typing import Annotated

import typer

from langcell.loading.options import PlacedModel


def serve_mcp(
    root: Annotated[
        Path, typer.Option("--root", help="Folder whose files the agent may read, and write new files to.")
    ],
    model: PlacedModel,
) -> None:
    """Serve the tools list_labels, name_cells, explain, search_cells and evaluate over stdio (extra [mcp])."""
    from langcell.mcp_server.local_files import LocalFiles
    from langcell.mcp_server.tools import Tools

    files = LocalFiles.under(root)
    try:
        from langcell.mcp_server.server import make_server
    except ImportError as error:
        raise ValueError(f'The server needs the package mcp: pip install "langcell[mcp]" ({error}).') from error
    make_server(Tools(files, model=str(model.model), device=model.device)).run("stdio")
