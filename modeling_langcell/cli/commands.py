"""`langcell ...`: all commands, under the headings of the help."""

from pathlib import Path
from typing import Annotated

import typer

from langcell.cli.annotate import annotate, embed, report
from langcell.cli.app import start_app
from langcell.cli.calibrate import calibrate
from langcell.cli.command_line import CommandLine
from langcell.cli.convert import convert, verify
from langcell.cli.evaluate import evaluation
from langcell.cli.export import exporting
from langcell.cli.finetune import classify, finetune, merge
from langcell.cli.genes import gene_vocabularies
from langcell.cli.publish import card, publish
from langcell.cli.retrieve import retrieve
from langcell.cli.review.explain import explain
from langcell.cli.shards import push_shards, shard_folders
from langcell.cli.tokenize import check, tokenize
from langcell.loading.options import PlacedModel


def demo(
    model: PlacedModel,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path("demo"),
) -> None:
    """Name scanpy's 700 bundled blood cells and draw them."""
    from langcell.cli.demo import run_demo

    run_demo(output, **vars(model))


NAMING = "Name and find cells"
TEACHING = "Teach and measure a model"
DATA = "Prepare training data"
SHARING = "Convert and share"

app = CommandLine("Name, embed and find single cells by text.")
for command in (annotate, embed, report, explain, retrieve, demo):
    app.add(command, panel=NAMING)
app.add(start_app, "app", panel=NAMING)
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


def main() -> None:
    """Entry point of the `langcell` command."""
    app.run(name="langcell")
