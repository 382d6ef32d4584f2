"""Whether a folder loads in a process that has never seen it: fresh caches, no network, no langcell."""

from pathlib import Path

from huggingface_hub import SpaceCard

from langcell.fresh_process import FreshProcessError, ask_fresh_process
from langcell.hub_cards.cards.repository_kinds import ADAPTER, SPACE, RepositoryKind
from langcell.hub_cards.publishing import fresh_load
from langcell.loading.hub_folders import folder_or_download


def check_loading(folder: str | Path, kind: RepositoryKind, *, base: str | Path | None = None) -> list[str]:
    """List what keeps a folder from loading and running; an empty list is what one wants.

    A model or an adapter is loaded by transformers and peft with `trust_remote_code` and computes one cell; of shards
    `datasets` reads the first cell; a Space's app runs up to where it would be served.

    Args:
        folder: to load.
        kind: kind of the folder.
        base: base of an adapter: folder or Hub id; by default the one that it was trained on.

    Raises:
        ValueError: the base of an adapter cannot be found, or is not the one that it was trained on.
    """
    folder = Path(folder).resolve()
    more: list[str] = []
    if kind == ADAPTER:
        more = [str(find_base(folder, base).resolve())]
    elif kind == SPACE:
        more = [str(SpaceCard.load(folder / "README.md").data.to_dict().get("app_file", "app.py"))]
    try:
        problems = ask_fresh_process(fresh_load.__file__, kind.name, str(folder), *more)
    except FreshProcessError as error:
        return [f"it does not load in a fresh process ({error})"]
    return [f"it does not load: {problem}" for problem in problems]


def find_base(adapter: Path, base: str | Path | None) -> Path:
    """Return the folder of an adapter's base, downloaded where it is on the Hub.

    Raises:
        ValueError: there is none, or it has other weights than the adapter was trained on.
    """
    from langcell.loading.adapter_files import find_adapter
    from langcell.loading.load import DEFAULT_MODEL, bundled_model_folder, load_config, weights_digest

    files = find_adapter(adapter)
    name = str(base or files.facts["base"]["model_id"])
    if name == DEFAULT_MODEL:
        folder = bundled_model_folder()
    else:
        folder = folder_or_download(name, "the adapter's base with --base")
    fingerprint = str(load_config(folder).vocabulary_fingerprint)
    files.check_base(name, fingerprint=fingerprint, weights=weights_digest(folder))
    return folder
