"""`langcell card` and `langcell publish`: fill a card from what was measured, and share a folder on the Hub."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Command = Callable[..., None]
Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Model, adapter, shards or Space; its files tell which.")
]
RepoId = Annotated[str, typer.Argument(metavar="REPO_ID", help="Where it goes on the Hub, such as org/langcell.")]
Private = Annotated[bool, typer.Option("--private", help="Make the repository private, if it is made.")]
Tag = Annotated[str | None, typer.Option(help="Tag for this upload, such as v1; must be new.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and list the files; send nothing.")]
Base = Annotated[
    str | None,
    typer.Option(help="Of an adapter: folder or Hub id of the model that it was trained on.", show_default=False),
]
LicenseId = Annotated[
    str | None, typer.Option("--license", help="The Hub's identifier, such as apache-2.0.", show_default=False)
]
LicenceNote = Annotated[
    str | None, typer.Option("--licence-note", help="The licences of weights and data in words.", show_default=False)
]
Title = Annotated[str | None, typer.Option(help="Heading of the card.", show_default=False)]
Summary = Annotated[str | None, typer.Option(help="What this is, in a sentence or two.", show_default=False)]


def register(app: typer.Typer, one_line_errors: Callable[[Command], Command]) -> None:
    """Add the commands to `app`; `one_line_errors` turns what a user can mend into one line and exit code 2."""
    for command in (card, publish):
        app.command()(one_line_errors(command))


def card(
    folder: Folder,
    repo_id: RepoId,
    results: Annotated[
        list[Path] | None,
        typer.Option(metavar="JSON", help="<task>.json of `langcell evaluate`; may be repeated.", show_default=False),
    ] = None,
    license_id: LicenseId = None,
    licence: LicenceNote = None,
    data: Annotated[
        str | None, typer.Option(help="Training data (of a Space: sample data), in Markdown.", show_default=False)
    ] = None,
    title: Title = None,
    summary: Summary = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="A limit, one sentence; may be repeated.", show_default=False)
    ] = None,
    base_model: Annotated[
        list[str] | None,
        typer.Option(help="Hub id of the weights that it began as; repeatable.", show_default=False),
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Hub id of training data; may be repeated.", show_default=False)
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Hub id of a model that a Space uses; may be repeated.", show_default=False)
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over the README.md that is there.")] = False,
) -> None:
    """Fill a card (README.md) from a folder's own files and from evaluation results; what nobody knows is left out."""
    from langcell.hub_cards.cards.folder_cards import CardOptions, write_card
    from langcell.hub_cards.cards.repository_kinds import CARD_FILE, find_kind

    kind = find_kind(folder)
    if (folder / CARD_FILE).exists() and not replace:
        raise ValueError(f"{folder} has a {CARD_FILE} already; edit it, or give --replace to write a new one.")
    options = CardOptions(
        title=title,
        summary=summary,
        data=data,
        license_id=license_id,
        licence=licence,
        base_model=base_model or (),
        datasets=dataset or (),
        models=model or (),
        limits=limit or (),
        measurements=_measurements(folder, kind, results or []),
    )
    print(f"Wrote {write_card(folder, repo_id, kind, options)}")


def publish(
    folder: Folder,
    repo_id: RepoId,
    private: Private = False,
    dry_run: DryRun = False,
    tag: Tag = None,
    base: Base = None,
) -> None:
    """Check a folder, upload it in one commit, and compare what the Hub gives back.

    Checked are: that it loads and runs in a fresh process, that weights are safetensors alone, its card with licence
    and data sources, and that no file holds a path of this machine or a secret.
    """
    from langcell.hub_cards.publishing.publishing import prepare_upload

    send(prepare_upload(folder, repo_id, base=base), private=private, dry_run=dry_run, tag=tag)


def send(upload: Any, *, private: bool = False, dry_run: bool = False, tag: str | None = None) -> None:
    """Upload what was prepared (a `hub_cards.uploading.Upload`), or with `dry_run` list it."""
    from langcell.hub_cards.publishing.uploading import upload_files

    size = f"{len(upload.files):,} files, {upload.size / 1e6:,.1f} MB"
    if dry_run:
        for file in upload.files:
            print(f"{upload.size_of(file):>14,}  {file}")
        tagged = f", with the tag {tag}" if tag else ""
        print(f"{size} would go to the {upload.kind.name} {upload.repo_id}{tagged}. Nothing was sent.")
        return
    published = upload_files(upload, private=private, tag=tag)
    _print_published(published, size=size, tag=tag)


def _print_published(published: Any, *, size: str, tag: str | None) -> None:
    for file in published.deleted:
        print(f"Deleted {file}, which an earlier upload had left.")
    print(f"Pushed {size} to {published.address}")
    print(f"Downloaded again and compared: commit {published.commit}{f', tag {tag}' if tag else ''}")


def _measurements(folder: Path, kind: Any, results: list[Path]) -> list[Any]:
    """The evaluations, each of the very weights in the folder."""
    if not results:
        return []
    from langcell.hub_cards.cards.repository_kinds import ADAPTER, MODEL
    from langcell.loading.load import weights_digest
    from langcell.training.evaluation.card_results import read_measurement

    weights = weights_digest(folder) if kind in (MODEL, ADAPTER) else None
    return [read_measurement(path, weights=weights) for path in results]
