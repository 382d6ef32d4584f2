"""`langcell card` and `langcell publish`: fill a card from what was measured, and share a folder on the Hub."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from langcell.hub_cards.cards.options import CardOptions
from langcell.processing.options import option

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Folder of a model, an adapter, shards or a Space; its files tell.")
]
RepoId = Annotated[
    str, typer.Argument(metavar="REPO_ID", help="Id of the repository on the Hub, such as org/langcell.")
]


@dataclass(frozen=True)
class UploadOptions:
    """How a folder is uploaded."""

    panel: ClassVar[str] = "Upload"

    private: bool = option(False, "Make the repository private, if this command creates it.", names=("--private",))
    dry_run: bool = option(False, "Check everything and list the files; send nothing.", names=("--dry-run",))
    tag: str | None = option(None, "New tag for this upload, such as v1.", show_default=False)


def card(
    folder: Folder,
    repo_id: RepoId,
    options: CardOptions,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="JSON", help="<task>.json file of langcell evaluate; may be repeated.", show_default=False
        ),
    ] = None,
    replace_card: Annotated[bool, typer.Option("--replace", help="Write over a README.md that is there.")] = False,
) -> None:
    """Fill a card (README.md) from a folder's own files and from evaluation results; what nobody knows is left out."""
    from langcell.hub_cards.cards.folder_cards import write_card
    from langcell.hub_cards.cards.repository_kinds import CARD_FILE, find_kind

    kind = find_kind(folder)
    if (folder / CARD_FILE).exists() and not replace_card:
        raise ValueError(f"{folder} has a {CARD_FILE} already; edit it, or give --replace to write a new one.")
    measured = replace(options, measurements=_measurements(folder, kind, results or []))
    print(f"Wrote {write_card(folder, repo_id, kind, measured)}")


def publish(
    folder: Folder,
    repo_id: RepoId,
    upload: UploadOptions,
    base: Annotated[
        str | None,
        typer.Option(help="For an adapter: folder or Hub id of the model that it was trained on.", show_default=False),
    ] = None,
) -> None:
    """Check a folder, upload it in one commit, and compare what the Hub gives back.

    It checks that the folder loads and runs in a fresh process, that all weights are safetensors, that its card names
    licence and data sources, and that no file holds a path of this machine or a secret.
    """
    from langcell.hub_cards.publishing.publishing import prepare_upload

    send(prepare_upload(folder, repo_id, base=base), upload)


def send(upload: Any, options: UploadOptions) -> None:
    """Upload what was prepared (a `hub_cards.publishing.uploading.Upload`), or with `dry_run` list it."""
    from langcell.hub_cards.publishing.uploading import upload_files

    size = f"{len(upload.files):,} files, {upload.size / 1e6:,.1f} MB"
    tag = options.tag
    if options.dry_run:
        for file in upload.files:
            print(f"{upload.size_of(file):>14,}  {file}")
        tagged = f", with the tag {tag}" if tag else ""
        print(f"{size} would go to the {upload.kind.name} {upload.repo_id}{tagged}. Nothing was sent.")
        return
    published = upload_files(upload, private=options.private, tag=tag)
    _print_published(published, size=size, tag=tag)


def _print_published(published: Any, *, size: str, tag: str | None) -> None:
    for file in published.deleted:
        print(f"Deleted {file}, which an earlier upload had left.")
    print(f"Pushed {size} to {published.address}")
    print(f"Downloaded again and compared: commit {published.commit}{f', tag {tag}' if tag else ''}")


def _measurements(folder: Path, kind: Any, results: list[Path]) -> list[Any]:
    """Return the evaluations, each of the very weights in the folder."""
    if not results:
        return []
    from langcell.hub_cards.cards.repository_kinds import ADAPTER, MODEL
    from langcell.loading.load import weights_digest
    from langcell.training.evaluation.card_results import read_measurement

    weights = weights_digest(folder) if kind in (MODEL, ADAPTER) else None
    return [read_measurement(path, weights=weights) for path in results]
