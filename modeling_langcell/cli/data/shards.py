"""`langcell shards info` and `langcell push-shards`: look at a folder of shards, and share it."""

from pathlib import Path
from typing import Annotated

import typer

from langcell.cli.command_line import CommandLine
from langcell.cli.sharing.publish import UploadOptions, send
from langcell.hub_cards.cards.options import CardTexts

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of finished shards.", show_default=False)]


def info(
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="PNG file for the histogram of lengths.", show_default=False)
    ] = None,
    check: Annotated[bool, typer.Option("--verify", help="Compare every file with its checksum.")] = False,
) -> None:
    """Print what a folder of shards holds, and how long its cells are."""
    from rich.console import Console

    from langcell.cli.data.shard_report import draw_lengths, print_report
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
    texts: CardTexts,
    upload: UploadOptions,
) -> None:
    """Write a card that counts the cells of a folder of shards, and publish both as a dataset on the Hub.

    The card replaces one that is there; langcell publish keeps it.
    """
    from langcell.hub_cards.cards.dataset_cards import write_dataset_card
    from langcell.hub_cards.publishing.publishing import prepare_upload

    write_dataset_card(folder, repo_id, **vars(texts))
    send(prepare_upload(folder, repo_id), upload)


def shard_folders() -> CommandLine:
    """Return the group `shards`."""
    group = CommandLine("Look at tokenized shards.", keeps_name=True)
    group.add(info)
    return group
