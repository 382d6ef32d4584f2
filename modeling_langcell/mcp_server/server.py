"""The tools as a server of the Model Context Protocol over stdio."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import wraps
from typing import Any

import anyio
from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from pydantic import ValidationError

from langcell.mcp_server.local_files import LocalFiles
from langcell.mcp_server.tools import Tools
from langcell.one_line import USER_ERRORS, one_line

_INSTRUCTIONS = (
    "LangCell names single cells by text, without labelled cells. list_labels shows candidate cell types, name_cells "
    "names the cells of a file and writes a new one, explain gives the genes for and against each name, search_cells "
    "finds cells by a sentence, evaluate measures the model on cells with known types. All paths are relative to one "
    "shared folder; no input is ever changed."
)


class LangCellServer(FastMCP):
    """A server that refuses arguments that a tool does not have, and works on one request at a time."""

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
        """Call a tool.

        Raises:
            ToolError: there is no such tool or argument, or the tool has an error of the user, in one line.
        """
        tools = {tool.name: tool for tool in await self.list_tools()}
        legal = list(tools[name].inputSchema["properties"]) if name in tools else list(arguments)
        # Unknown arguments would be dropped without a word, and the answer would be to another question.
        if unknown := [argument for argument in arguments if argument not in legal]:
            raise ToolError(f"{name} has no argument {unknown[0]!r}; legal are {', '.join(legal)}.")
        try:
            return await super().call_tool(name, arguments)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):  # many lines, and an address of pydantic's site
                raise ToolError(_kind_errors(name, error.__cause__)) from error
            raise


def make_server(tools: Tools) -> LangCellServer:
    """Make the server; its tools are the public methods of `tools`."""
    server = LangCellServer("langcell", instructions=_INSTRUCTIONS)
    # One model and one machine: a second request waits for the first.
    one_at_a_time = anyio.CapacityLimiter(1)
    for method in (tools.list_labels, tools.name_cells, tools.explain, tools.search_cells, tools.evaluate):
        server.add_tool(_in_thread(method, one_at_a_time, tools.files), structured_output=False)
    return server


def _in_thread(method: Callable[..., Any], limiter: anyio.CapacityLimiter, files: LocalFiles) -> Callable[..., Any]:
    """Return the method as a coroutine: the server still answers pings while it works."""

    @wraps(method)
    async def tool(**arguments: Any) -> Any:
        return await anyio.to_thread.run_sync(lambda: _answer(method, arguments, files), limiter=limiter)

    return tool


def _answer(method: Callable[..., Any], arguments: dict[str, Any], files: LocalFiles) -> Any:
    try:
        # stdout belongs to the protocol; a stray print would end the session.
        with redirect_stdout(sys.stderr):
            return method(**arguments)
    except USER_ERRORS as error:
        # The agent knows files by their place in the shared folder, and need not know where that is.
        raise ToolError(one_line(error).replace(f"{files.root}/", "")) from error


def _kind_errors(tool: str, error: ValidationError) -> str:
    """Say in one line which arguments are of a wrong kind."""
    found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}, given {one['input']!r}" for one in error.errors()]
    return f"{tool} cannot take these arguments: {'; '.join(found)}."
