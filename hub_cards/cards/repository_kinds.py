"""What a folder is that somebody wants to publish, and which of its files go up."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from langcell.processing.shards.files import DESCRIPTIONS_FILE, EARLIER_DESCRIPTIONS_FILE
from langcell.processing.shards.manifest import MANIFEST_FILE, read_manifest

CARD_FILE = "README.md"
ADAPTER_CONFIG = "adapter_config.json"  # peft's name; importing it from where torch is needed would take seconds
Name = Literal["model", "adapter", "dataset", "space"]
RepoType = Literal["model", "dataset", "space"]
# Of a checkpoint of a run: what only going on with the run needs.
_OF_A_RUN = ("state", "files.json")
RESULTS_FOLDER = ".eval_results"  # the Hub's name of what was measured
_LEFT_OUT = ("__pycache__", "__init__.py")  # no repository is a Python package, though a folder in ours may be


@dataclass(frozen=True)
class RepositoryKind:
    """A kind of repository.

    Attributes:
        name: as people call it.
        repo_type: as the Hub calls it.
    """

    name: Name
    repo_type: RepoType


MODEL, ADAPTER, SHARDS, SPACE = KINDS = (
    RepositoryKind("model", "model"),
    RepositoryKind("adapter", "model"),
    RepositoryKind("dataset", "dataset"),
    RepositoryKind("space", "space"),
)


def find_kind(folder: str | Path) -> RepositoryKind:
    """Tell from its files what a folder is.

    Raises:
        ValueError: it is no folder, or none of the four kinds.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; give that of a model, an adapter, shards or a Space.")
    if any((folder / name).is_file() for name in (MANIFEST_FILE, DESCRIPTIONS_FILE, EARLIER_DESCRIPTIONS_FILE)):
        return SHARDS
    if (folder / ADAPTER_CONFIG).is_file():
        return ADAPTER
    if (folder / "config.json").is_file():
        return MODEL
    if (folder / "app.py").is_file():
        return SPACE
    raise ValueError(
        f"{folder} is nothing that can be published: a model has config.json, an adapter {ADAPTER_CONFIG}, shards "
        f"{MANIFEST_FILE}, a Space app.py."
    )


def files_to_publish(folder: str | Path, kind: RepositoryKind) -> list[str]:
    """Return the paths of the files that go up, relative to the folder, with forward slashes, sorted; the card is among
    them.

    Of shards these are the files of the manifest; of everything else all files but byte code, hidden ones (other than
    `.eval_results`), and what a checkpoint holds for its run alone (`state/`, `files.json`).

    Raises:
        ValueError: shards without a readable manifest.
    """
    folder = Path(folder)
    if kind == SHARDS:
        manifest = read_manifest(folder)
        return [*(shard.path for shard in manifest.shards), manifest.descriptions.path, MANIFEST_FILE, CARD_FILE]
    paths = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    is_checkpoint = (folder / "state" / "run.json").is_file()
    left_out = _LEFT_OUT + (_OF_A_RUN if is_checkpoint else ())
    files = [
        path.as_posix()
        for path in paths
        if not any((part.startswith(".") and part != RESULTS_FOLDER) or part in left_out for part in path.parts)
    ]
    return files if CARD_FILE in files else [*files, CARD_FILE]


def check_repo_id(repo_id: str) -> None:
    """Refuse what the Hub would not take as a name.

    Raises:
        ValueError: it is no id, or has no namespace.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"{repo_id!r} is no Hub id: {error} Give one such as org/cells.") from error
    if repo_id.count("/") != 1:
        raise ValueError(f"{repo_id!r} is no Hub id: it lacks the user or organization. Give one such as org/cells.")
