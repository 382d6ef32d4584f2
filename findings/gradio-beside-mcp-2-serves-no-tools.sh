#!/usr/bin/env bash
# A Gradio page that is told to serve tools serves none beside version 2 of the package mcp, and starts all the same.
#
# One would guess: launch(mcp_server=True) serves the functions of the page as tools of the Model Context Protocol, or
#   fails where it cannot.
# What happens: the page starts, launch returns, and nothing is raised. The address of the tools answers 404. With mcp
#   1.30.0 the same page serves its tool.
# Seen with: gradio 6.31.0 with mcp 2.3.0 and with mcp 1.30.0. Gradio's extra [mcp] asks for mcp below 2, but whoever
#   installed gradio and mcp one by one, as two projects in one environment do, has both.
# Why a user would care: an app for biologists that is also a server for agents looks healthy, and the agent finds no
#   tool that names cells.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
cat > page.py <<'PY'
import json
import os
import sys
from importlib.metadata import version

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr
import httpx


def name_cell(genes: str) -> str:
    """Name a cell by its genes.

    Args:
        genes: symbols with commas between them.
    """
    return "B cell" if "MS4A1" in genes else "T cell"


page = gr.Interface(name_cell, "text", "text", api_name="name_cell")
_, url, _ = page.launch(mcp_server=True, prevent_thread_lock=True, quiet=True)
status = {"page": httpx.get(url).status_code, "schema": httpx.get(f"{url}gradio_api/mcp/schema").status_code}
print(f"gradio {version('gradio')}, mcp {version('mcp')}: {json.dumps(status)}")
page.close()
expected = {"page": 200, "schema": int(sys.argv[1])}
os._exit(0 if status == expected else 1)
PY
python3 -m venv two
two/bin/pip install --quiet --quiet --no-compile gradio==6.31.0 mcp==2.3.0
two/bin/python page.py 404 || { echo "the behaviour changed"; exit 1; }
python3 -m venv one
one/bin/pip install --quiet --quiet --no-compile gradio==6.31.0 mcp==1.30.0
one/bin/python page.py 200 || { echo "the behaviour changed"; exit 1; }
