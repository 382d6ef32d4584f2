"""A folder of shards as a dataset on the Hub: one commit, so that a reader sees all of it or nothing."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import HFValidationError, validate_repo_id
from tqdm import tqdm

from langcell.hub_cards.dataset_cards import ASPECTS, dataset_card
from langcell.processing.atomic_output import atomic_output
from langcell.processing.ontology import Ontology
from langcell.processing.shard_counts import count_shards
from langcell.processing.shard_manifest import MANIFEST_FILE, read_manifest, verify

CARD_FILE = "README.md"
_FILES_AT_ONCE = 10


@dataclass(frozen=True)
class Upload:
    """What goes to the Hub.

    Attributes:
        folder: the folder of shards.
        repo_id: of the dataset.
        files: paths in the folder and, the same, in the repository.
        size: bytes of all files.
    """

    folder: Path
    repo_id: str
    files: list[str]
    size: int


def prepare_upload(
    folder: str | Path,
    repo_id: str,
    *,
    title: str | None = None,
    summary: str | None = None,
    license_id: str | None = None,
    licence: str | None = None,
    progress: bool = True,
) -> Upload:
    """Check a folder of shards and write its card, `README.md`, into it.

    With the card `datasets.load_dataset(folder)` reads the cells, and `load_dataset(folder, "descriptions")` the texts.

    Args:
        folder: finished shards.
        repo_id: of the dataset, such as `org/cells`.
        title, summary, license_id, licence: for the card, see `dataset_card`.
        progress: show a progress bar.

    Raises:
        ValueError: the id is none, or the shards are not finished or not what their manifest says.
    """
    folder = Path(folder)
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"{repo_id!r} is no Hub id: {error} Give one such as org/cells.") from error
    manifest = read_manifest(folder)
    if problems := verify(folder):
        raise ValueError(f"{folder} is not what its manifest says: {'; '.join(problems[:3])}. Write the shards again.")
    counts = count_shards(folder, ontology=Ontology.cellxgene(), aspects=ASPECTS, progress=progress)
    columns = pq.read_schema(manifest.shard_paths(folder)[0]).names if manifest.shards else []
    card = dataset_card(
        repo_id,
        manifest,
        counts,
        columns=columns,
        title=title,
        summary=summary,
        license_id=license_id,
        licence=licence,
    )
    with atomic_output(folder / CARD_FILE) as temporary:
        temporary.write_text(card.content, encoding="utf-8", newline="\n")
    files = [*(shard.path for shard in manifest.shards), manifest.descriptions.path, MANIFEST_FILE, CARD_FILE]
    return Upload(folder, repo_id, files, sum((folder / file).stat().st_size for file in files))


def push_shards(upload: Upload, *, private: bool = False, progress: bool = True) -> str:
    """Upload what `prepare_upload` prepared, in one commit; the repository is made where it is missing.

    Contents that the Hub has already are not sent again, so a push that was cut off goes on where it was. Shards of an
    earlier push that are not among the new ones are deleted in the same commit.

    Args:
        upload: what to upload.
        private: of a repository that is made.
        progress: show a progress bar.

    Returns:
        Address of the dataset.

    Raises:
        ValueError: the Hub refuses, or cannot be reached.
    """
    api = HfApi()
    try:
        address = api.create_repo(upload.repo_id, repo_type="dataset", private=private, exist_ok=True)
        additions = [CommitOperationAdd(file, str(upload.folder / file)) for file in upload.files]
        with tqdm(total=upload.size, desc="uploading", unit="B", unit_scale=True, disable=not progress) as bar:
            for start in range(0, len(additions), _FILES_AT_ONCE):
                part = additions[start : start + _FILES_AT_ONCE]
                api.preupload_lfs_files(upload.repo_id, part, repo_type="dataset")
                bar.update(sum((upload.folder / one.path_in_repo).stat().st_size for one in part))
        there = api.list_repo_files(upload.repo_id, repo_type="dataset")
        stale = [file for file in there if _is_shard(file) and file not in upload.files]
        message = f"{len(upload.files) - 3} shards of cells, their descriptions and their card"
        operations = [*additions, *(CommitOperationDelete(file) for file in stale)]
        api.create_commit(upload.repo_id, operations, commit_message=message, repo_type="dataset")
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{upload.repo_id} was not pushed: {reason} Log in with `hf auth login`, check the id, and repeat the "
            "command: what was sent is not sent again."
        ) from error
    return str(address)


def _is_shard(file: str) -> bool:
    return file.startswith("data/") and file.endswith(".parquet")
