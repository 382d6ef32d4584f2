"""`langcell shards info` and `langcell push-shards`: look at a folder of shards, and share it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from langcell.cli.publish import DryRun, LicenceNote, LicenseId, Private, Summary, Tag, Title, send

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

    from langcell.cli.shard_report import draw_lengths, print_report
    from langcell.processing.ontology.terms import Ontology
    from langcell.processing.shards.counts import count_shards
    from langcell.processing.shards.manifest import read_manifest, verify

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
    private: Private = False,
    title: Title = None,
    summary: Summary = None,
    license_id: LicenseId = None,
    licence: LicenceNote = None,
    dry_run: DryRun = False,
    tag: Tag = None,
) -> None:
    """Write a card that counts the cells of a folder of shards, and publish both as a dataset on the Hub.

    The card takes the place of one that is there; `langcell publish` keeps it.
    """
    from langcell.hub_cards.cards.dataset_cards import write_dataset_card
    from langcell.hub_cards.publishing.publishing import prepare_upload

    write_dataset_card(folder, repo_id, title=title, summary=summary, license_id=license_id, licence=licence)
    send(prepare_upload(folder, repo_id), private=private, dry_run=dry_run, tag=tag)
