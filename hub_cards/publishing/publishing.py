"""Everything that `langcell publish` looks at before a byte leaves this machine."""

from pathlib import Path

from huggingface_hub import SpaceCard

from langcell.conversion.verify import MANIFEST_FILE as CONVERSION_FILE
from langcell.conversion.verify import verify as verify_conversion
from langcell.hub_cards.cards.repository_kinds import (
    CARD_FILE,
    MODEL,
    SHARDS,
    SPACE,
    check_repo_id,
    files_to_publish,
    find_kind,
)
from langcell.hub_cards.publishing.addresses import address_card
from langcell.hub_cards.publishing.card_checks import check_card
from langcell.hub_cards.publishing.content_checks import check_contents
from langcell.hub_cards.publishing.load_checks import check_loading
from langcell.hub_cards.publishing.uploading import Upload
from langcell.processing.shards.manifest import verify as verify_shards

_MOST_PROBLEMS = 5


def prepare_upload(folder: str | Path, repo_id: str, *, base: str | Path | None = None) -> Upload:
    """Check a folder and say what goes up; nothing is sent, and nothing is written.

    The card goes up with its commands naming `repo_id`; the folder's own card stays as it is.

    Args:
        folder: model, adapter, shards or Space, with its card (`README.md`).
        repo_id: where it goes, such as `org/langcell`.
        base: base of an adapter: folder or Hub id of the model that it was trained on, where its files name none of
            these.

    Raises:
        ValueError: the id is none, or what speaks against publishing the folder, in one line.
    """
    folder = Path(folder)
    check_repo_id(repo_id)
    kind = find_kind(folder)
    files = files_to_publish(folder, kind)
    if not (folder / CARD_FILE).is_file():
        raise ValueError(f"{folder} has no {CARD_FILE}; write one with: langcell card {folder} {repo_id} --license ...")
    written = (folder / CARD_FILE).read_text(encoding="utf-8")
    card = address_card(written, kind.name, repo_id)
    replaced = {CARD_FILE: card} if card != written else {}
    problems = [
        *check_card(folder, card, kind, files),
        *check_contents(folder, files, kind, replaced=replaced),
    ]
    if kind == SHARDS:
        problems += verify_shards(folder)
    # What the files say of themselves comes first: code of a folder that is not whole is not run.
    if not problems and kind == MODEL and (folder / CONVERSION_FILE).is_file():
        problems = verify_conversion(folder)
    if not problems:
        problems = check_loading(folder, kind, base=base)
    if problems:
        more = f"; and {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
        raise ValueError(f"{folder} is not published: {'; '.join(problems[:_MOST_PROBLEMS])}{more}.")
    sdk = str(SpaceCard(card).data.to_dict()["sdk"]) if kind == SPACE else None
    return Upload(folder, repo_id, kind, files, replaced, sdk)
