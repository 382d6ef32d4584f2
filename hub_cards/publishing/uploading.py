"""Files to the Hub in one commit, so that a reader sees all of them or nothing, and the way back as a check."""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from tqdm import tqdm

from langcell.hub_cards.cards.repository_kinds import ADAPTER, CARD_FILE, MODEL, SHARDS, RepositoryKind
from langcell.processing.shards.manifest import sha256_of

_FILES_AT_ONCE = 10
_WEIGHTS_AND_CODE = (
    ".safetensors",
    ".index.json",
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".h5",
    ".msgpack",
    ".py",
)


@dataclass(frozen=True)
class Upload:
    """What goes to the Hub.

    Attributes:
        folder: that the files are in.
        repo_id: where they go.
        kind: kind of the repository.
        files: paths in the folder and, the same, in the repository.
        replaced: texts that go up in place of a file's own, such as a card that names the repository.
        sdk: sdk of a Space.
    """

    folder: Path
    repo_id: str
    kind: RepositoryKind
    files: Sequence[str]
    replaced: dict[str, str] = field(default_factory=dict)
    sdk: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(self.size_of, self.files))

    def size_of(self, file: str) -> int:
        """Return the bytes of a file as it goes up."""
        content = self._replacement(file)
        return (self.folder / file).stat().st_size if content is None else len(content)

    def sha256_of(self, file: str) -> str:
        """Return the checksum of a file as it goes up."""
        content = self._replacement(file)
        return sha256_of(self.folder / file) if content is None else hashlib.sha256(content).hexdigest()

    def addition(self, file: str) -> CommitOperationAdd:
        """Return the file as huggingface_hub takes it."""
        content = self._replacement(file)
        return CommitOperationAdd(file, str(self.folder / file) if content is None else content)

    def is_stale(self, file: str) -> bool:
        """Return whether a file that is in the repository would be mistaken for a part of what goes up.

        These are shards of an earlier push, and weights and code of an earlier model.
        """
        if file in self.files:
            return False
        if self.kind == SHARDS:
            return file.startswith("data/") and file.endswith(".parquet")
        return self.kind in (MODEL, ADAPTER) and "/" not in file and file.endswith(_WEIGHTS_AND_CODE)

    def _replacement(self, file: str) -> bytes | None:
        text = self.replaced.get(file)
        return None if text is None else text.encode("utf-8")


@dataclass(frozen=True)
class Published:
    """Result of an upload.

    Attributes:
        address: address of the repository.
        commit: its id.
        deleted: files of an earlier upload that the commit removed.
    """

    address: str
    commit: str
    deleted: Sequence[str]


def upload_files(
    upload: Upload, *, private: bool = False, tag: str | None = None, message: str | None = None, progress: bool = True
) -> Published:
    """Upload in one commit, download that commit afresh, compare every file, and only then set the tag.

    The repository is made where it is missing. Contents that the Hub has already are not sent again, so an upload that
    was cut off goes on where it was.

    Args:
        upload: what to upload.
        private: private of a repository that is made.
        tag: for the commit; must be new.
        message: message of the commit.
        progress: show a progress bar.

    Raises:
        ValueError: the Hub refuses, or cannot be reached; the tag exists; or what comes back is not what was sent.
    """
    api = HfApi()
    repo_id, repo_type = upload.repo_id, upload.kind.repo_type
    try:
        address = api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=upload.sdk)
        if tag is not None and tag in {ref.name for ref in api.list_repo_refs(repo_id, repo_type=repo_type).tags}:
            raise ValueError(f"{repo_id} has the tag {tag} already; give another one, or delete it on the Hub.")
        _validate_card(upload)
        commit, deleted = _commit(api, upload, message or f"Upload of {len(upload.files)} files", progress=progress)
    except (HfHubHTTPError, OSError, RuntimeError) as error:
        raise ValueError(
            f"{repo_id} was not pushed: {reason_of(error)} Log in with `hf auth login`, check the id, and repeat the "
            "command: what was sent is not sent again."
        ) from error
    verify_upload(upload, commit, progress=progress)
    if tag is not None:
        try:
            api.create_tag(repo_id, tag=tag, revision=commit, repo_type=repo_type)
        except (HfHubHTTPError, OSError) as error:
            raise ValueError(f"{repo_id} is uploaded (commit {commit}), but not tagged: {reason_of(error)}") from error
    return Published(str(address), commit, deleted)


def verify_upload(upload: Upload, commit: str, *, progress: bool = True) -> None:
    """Download a commit into an empty cache, a few files at a time, and compare the checksum of every file.

    Raises:
        ValueError: a file is missing or another one, or the download fails.
    """
    different = []
    with tqdm(total=upload.size, desc="verifying", unit="B", unit_scale=True, disable=not progress) as bar:
        for part in _parts(upload.files):
            # A cache of its own for each part: the disk has to have room for a few files only.
            with tempfile.TemporaryDirectory() as cache:
                try:
                    place = snapshot_download(
                        upload.repo_id,
                        repo_type=upload.kind.repo_type,
                        revision=commit,
                        cache_dir=cache,
                        allow_patterns=[escape(file) for file in part],
                    )
                except (HfHubHTTPError, OSError) as error:
                    raise ValueError(
                        f"{upload.repo_id} was uploaded (commit {commit}), but does not download: {reason_of(error)} "
                        "Repeat the command."
                    ) from error
                different += [file for file in part if not _is_same(Path(place) / file, upload.sha256_of(file))]
            bar.update(sum(map(upload.size_of, part)))
    if different:
        raise ValueError(
            f"{upload.repo_id} (commit {commit}) gives back other contents than were sent for "
            f"{', '.join(different[:5])}: do not use this commit, and repeat the command."
        )


def reason_of(error: BaseException) -> str:
    """Return the first lines of an error that say something, as one that ends in a full stop.

    >>> reason_of(ValueError("404 Client Error." + chr(10) * 2 + "Repository Not Found" + chr(10) + "Please make sure"))
    '404 Client Error. Repository Not Found.'
    """
    cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    text = lines[0] if lines else type(cause).__name__
    if len(lines) > 1 and text.endswith("Client Error."):
        text = f"{text} {lines[1]}"
    return text if text.endswith((".", "!")) else f"{text}."


def _validate_card(upload: Upload) -> None:
    """Let the Hub read the card before anything large is sent."""
    content = upload.replaced.get(CARD_FILE) or (upload.folder / CARD_FILE).read_text(encoding="utf-8")
    try:
        RepoCard(content).validate(repo_type=upload.kind.repo_type)
    except ValueError as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"The Hub refuses the card of {upload.repo_id}: {reason}") from error


def _commit(api: HfApi, upload: Upload, message: str, *, progress: bool) -> tuple[str, list[str]]:
    """Send the files and make the commit; returns its id and what it deleted."""
    repo_id, repo_type = upload.repo_id, upload.kind.repo_type
    additions = list(map(upload.addition, upload.files))
    with tqdm(total=upload.size, desc="uploading", unit="B", unit_scale=True, disable=not progress) as bar:
        for part in _parts(additions):
            api.preupload_lfs_files(repo_id, part, repo_type=repo_type)
            bar.update(sum(upload.size_of(one.path_in_repo) for one in part))
    stale = [file for file in api.list_repo_files(repo_id, repo_type=repo_type) if upload.is_stale(file)]
    operations = [*additions, *map(CommitOperationDelete, stale)]
    made = api.create_commit(repo_id, operations, commit_message=message, repo_type=repo_type)
    return str(made.oid), stale


def _parts(items: Sequence[Any]) -> list[Any]:
    return [items[start : start + _FILES_AT_ONCE] for start in range(0, len(items), _FILES_AT_ONCE)]


def _is_same(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256
