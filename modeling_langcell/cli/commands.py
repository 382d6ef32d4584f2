"""`langcell ...`: all commands, under the headings of the help."""

from pathlib import Path
from typing import Annotated

import typer

from langcell.cli.annotate import annotate, embed, report
from langcell.cli.app import start_app
from langcell.cli.calibrate import calibrate
from langcell.cli.command_line import CommandLine
from langcell.cli.data.genes import gene_vocabularies
from langcell.cli.data.shards import push_shards, shard_folders
from langcell.cli.data.tokenize import check, tokenize
from langcell.cli.evaluate import evaluation
from langcell.cli.finetune import classify, finetune, merge
from langcell.cli.garbage import defer_garbage_collection, skip_last_collection
from langcell.cli.mcp import serve_mcp
from langcell.cli.retrieve import retrieve
from langcell.cli.review.audit import audit
from langcell.cli.review.explain import explain
from langcell.cli.sharing.convert import convert, verify
from langcell.cli.sharing.export import exporting
from langcell.cli.sharing.publish import card, publish
from langcell.loading.options import PlacedModel


def demo(
    model: PlacedModel,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path("demo"),
) -> None:
    """Name scanpy's 700 bundled blood cells and draw them."""
    from langcell.cli.demo import run_demo

    run_demo(output, **vars(model))


def doctor() -> None:
    """Say what langcell runs in, which extras and devices there are, and how to get what is missing."""
    from langcell.environment.doctor import as_lines, examine

    findings = examine()
    print("\n".join(as_lines(findings)))
    if any(finding.is_fault for finding in findings):
        raise typer.Exit(1)


def say_version(wanted: bool) -> None:
    """Print the versions of langcell and its parts, and end."""
    if wanted:
        from langcell.environment.parts import version_lines

        print("\n".join(version_lines()))
        raise typer.Exit


NAMING = "Name and find cells"
TEACHING = "Teach and measure a model"
DATA = "Prepare training data"
SHARING = "Convert and share"
HELP = "Find out what is wrong"

app = CommandLine("Name, embed and find single cells by text.")


@app.callback()
def langcell(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=say_version, is_eager=True, help="Say the versions of langcell and its parts."
        ),
    ] = False,
) -> None:
    """Name, embed and find single cells by text."""


for command in (annotate, embed, report, explain, audit, retrieve, demo):
    app.add(command, panel=NAMING)
app.add(start_app, "app", panel=NAMING)
app.add(serve_mcp, "mcp", panel=NAMING)
for command in (finetune, classify, merge, calibrate):
    app.add(command, panel=TEACHING)
app.add_typer(evaluation(), name="evaluate", rich_help_panel=TEACHING)
app.add(check, panel=DATA)
app.add(tokenize, panel=DATA)
app.add_typer(shard_folders(), name="shards", rich_help_panel=DATA)
app.add_typer(gene_vocabularies(), name="genes", rich_help_panel=DATA)
app.add(push_shards, "push-shards", panel=SHARING)
for command in (convert, verify, card, publish):
    app.add(command, panel=SHARING)
app.add_typer(exporting(), name="export", rich_help_panel=SHARING)
app.add(doctor, panel=HELP)


def main() -> None:
    """Run the `langcell` command."""
    defer_garbage_collection()
    try:
        app.run(name="langcell")
    finally:
        skip_last_collection()
