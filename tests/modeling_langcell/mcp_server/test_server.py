"""A real client of the protocol, over stdio, with a model made by code."""

import json
import os
from contextlib import asynccontextmanager

import anyio
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from tiny_labelled import labelled_cells
from warm_python import warm_python

LABELS = ["B cell", "monocyte", "NK cell"]


@asynccontextmanager
async def session_with(root, model, log):
    arguments = ["-m", "langcell.cli", "mcp", "--root", str(root), "--model", str(model), "--device", "cpu"]
    server = StdioServerParameters(command=warm_python(), args=arguments, env=dict(os.environ))
    with log.open("w") as stderr:
        async with stdio_client(server, errlog=stderr) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            yield session


async def answer(session, tool, **arguments):
    """What a tool returned, or the message of its error."""
    result = await session.call_tool(tool, arguments)
    text = result.content[0].text
    return text if result.isError else json.loads(text)


@pytest.fixture(scope="module")
def answers(tmp_path_factory, tiny_model_dir):
    """One session: every tool, and every kind of mistake."""
    root = tmp_path_factory.mktemp("shared")
    labelled_cells(12).write_h5ad(root / "cells.h5ad")

    async def use() -> dict:
        async with session_with(root, tiny_model_dir, root.parent / "server.log") as session:
            found = {"tools": (await session.list_tools()).tools}
            found["named"] = await answer(session, "name_cells", file="cells.h5ad", labels=LABELS)
            found["again"] = await answer(session, "name_cells", file="cells.h5ad", labels=LABELS)
            found["why"] = await answer(session, "explain", file="cells.h5ad", label_column="type", top=3)
            found["why not"] = await answer(session, "explain", file="cells.h5ad", label="monocyte")
            found["cells"] = await answer(session, "search_cells", file="cells_named.h5ad", text="b cell", k=3)
            found["quality"] = await answer(session, "evaluate", file="cells.h5ad", label_column="type")
            found["outside"] = await answer(session, "name_cells", file="../cells.h5ad", labels=LABELS)
            found["no embeddings"] = await answer(session, "search_cells", file="cells.h5ad", text="b cell")
            found["misspelt"] = await answer(session, "name_cells", file="cells.h5ad", label=LABELS)
            found["kind"] = await answer(session, "search_cells", file="cells_named.h5ad", text="b", k="many")
            found["no candidates"] = await answer(session, "name_cells", file="cells.h5ad", output="x.h5ad")
            found["no types"] = await answer(session, "list_labels")
            return found

    return {"root": root} | anyio.run(use)


def test_the_tools_are_there_with_what_they_take(answers):
    takes = {tool.name: set(tool.inputSchema["properties"]) for tool in answers["tools"]}
    assert set(takes) == {"list_labels", "name_cells", "explain", "search_cells", "evaluate"}
    assert takes["search_cells"] == {"file", "text", "k"}
    assert all("Args:" in tool.description for tool in answers["tools"])


def test_cells_get_names_in_a_new_file(answers):
    named = answers["named"]
    assert named["output"] == "cells_named.h5ad"
    assert (answers["root"] / "cells_named.h5ad").is_file()
    assert sum(row["cells"] for row in named["labels"]) == 36
    assert any("natural killer cell (CL:0000623)" in note for note in named["notes"])
    assert any("vocabulary" in note for note in named["notes"])


def test_genes_say_why_each_label_was_given(answers):
    groups = answers["why"]["groups"]
    assert len(groups) == 3
    assert all(0 < len(group["supporting"]) <= 3 for group in groups)
    assert all(gene["effect"] > 0 for group in groups for gene in group["supporting"])


def test_cells_are_found_by_a_text(answers):
    similarities = [cell["score"] for cell in answers["cells"]["cells"]]
    assert len(similarities) == 3
    assert similarities == sorted(similarities, reverse=True)


def test_known_types_measure_the_model(answers):
    assert 0 <= answers["quality"]["methods"]["majority class"]["accuracy"] <= 1


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("again", "cells_named.h5ad exists already"),
        ("outside", "../cells.h5ad is outside the shared folder"),
        ("why not", "obs has no column 'langcell_label'"),
        ("no embeddings", "cells.h5ad: it has no embeddings"),
        ("misspelt", "name_cells has no argument 'label'; legal are file, labels"),
        ("kind", "search_cells cannot take these arguments: k: "),
        ("no candidates", "Give either labels or ontology_root"),
        ("no types", "does not list its training types"),
    ],
)
def test_an_error_reaches_the_agent_in_one_line_without_the_folders_place(answers, mistake, message):
    text = answers[mistake]
    assert message in text
    assert "\n" not in text
    assert str(answers["root"]) not in text


def test_only_the_named_file_is_new(answers):
    assert sorted(path.name for path in answers["root"].iterdir()) == ["cells.h5ad", "cells_named.h5ad"]
