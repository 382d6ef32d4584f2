"""`langcell shards info` and `langcell push-shards`: look at a folder of shards, and share it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

Command = Callable[..., None]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of finished shards.", show_default=False)]


def register(app: typer.Typer, one_line_errors: Callable[[Command], Command]) -> None:
    """Add the commands to `app`; `one_line_errors` turns what a user can mend into one line and exit code 2."""
    shards = typer.Typer(help="Look at tokenized shards.", no_args_is_help=True, rich_markup_mode=None)
    shards.command()(one_line_errors(info))
    # A group of one command would otherwise be that command.
    shards.callback()(lambda: None)
    app.add_typer(shards, name="shards")
    app.command("push-shards")(one_line_errors(push_shards))


def info(
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="PNG file for the histogram of lengths.", show_default=False)
    ] = None,
    check: Annotated[bool, typer.Option("--verify", help="Compare every file with its checksum.")] = False,
) -> None:
    """Print what a folder of shards holds, and how long its cells are."""
    from rich.console import Console

    from langcell.processing.ontology import Ontology
    from langcell.processing.shard_counts import count_shards
    from langcell.processing.shard_manifest import read_manifest, verify
    from langcell.shard_report import draw_lengths, print_report

    if output is not None and output.suffix != ".png":
        raise ValueError(f"{output} does not end in .png; the histogram of lengths is a PNG file.")
    manifest = read_manifest(folder)
    counts = count_shards(folder, ontology=Ontology.cellxgene())
    print_report(Console(), folder, manifest, counts)
    if output is not None:
        draw_lengths(counts, output, title=folder.resolve().name)
        print(f"Wrote {output}")
    if check:
        if problems := verify(folder):
            raise ValueError(f"{folder} is not what its manifest says: {'; '.join(problems)}. Write the shards again.")
        print(f"All {len(manifest.shards) + 1} files are what the manifest says.")


def push_shards(
    folder: Folder,
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="Dataset on the Hub, such as org/cells.")],
    private: Annotated[bool, typer.Option("--private", help="Make the dataset private, if it is made.")] = False,
    title: Annotated[str | None, typer.Option(help="Heading of the card.", show_default=False)] = None,
    summary: Annotated[str | None, typer.Option(help="What these cells are, in a sentence or two.")] = None,
    license_id: Annotated[
        str | None, typer.Option("--license", help="The Hub's identifier, such as cc-by-4.0.", show_default=False)
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence-note", help="The licences of the sources in words.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the card and list the files; send nothing.")
    ] = False,
) -> None:
    """Publish a folder of shards as a dataset on the Hub, with a card that counts its cells."""
    from langcell.hub_cards.publish_shards import prepare_upload, push_shards

    upload = prepare_upload(folder, repo_id, title=title, summary=summary, license_id=license_id, licence=licence)
    size = f"{len(upload.files):,} files, {upload.size / 1e6:,.1f} MB"
    if dry_run:
        for file in upload.files:
            print(f"{(folder / file).stat().st_size:>14,}  {file}")
        print(f"{size} would go to the dataset {repo_id}; the card is {folder / 'README.md'}. Nothing was sent.")
        return
    address = push_shards(upload, private=private)
    print(f"Pushed {size} to {address}")
