"""Where a folder of shards is: on this disk, or a dataset on the Hub."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from langcell.processing.shards.manifest import MANIFEST_FILE, Manifest, read_manifest

_HUB = "hf://datasets/"
_HUB_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class ShardLocation:
    """A finished folder of shards.

    Attributes:
        name: the folder or Hub id as it was given.
        folder: where manifest and descriptions lie on this disk.
        manifest: what it holds.
        files: the cell files: paths, or `hf://` addresses of one commit, which are streamed.
    """

    name: str
    folder: Path
    manifest: Manifest
    files: list[str]

    @classmethod
    def find(cls, name: "str | Path | ShardLocation") -> "ShardLocation":
        """Open a folder, or else a dataset on the Hub.

        Of a dataset the manifest and the descriptions are downloaded into the Hub's cache, and the cells are streamed
        from the commit that these belong to, so that a later push changes nothing in a run. Without network
        (`HF_HUB_OFFLINE`) the files in the cache are read.

        Args:
            name: a folder, or a Hub id such as `org/cells` or `org/cells@v1`, with or without `hf://datasets/`.

        Raises:
            ValueError: there is no such folder and no such dataset, or it holds no finished shards.
        """
        if isinstance(name, cls):
            return name
        text = str(name)
        match = _HUB_ID.fullmatch(text.removeprefix(_HUB))
        if Path(text).exists() or match is None:
            manifest = read_manifest(text)
            return cls(text, Path(text), manifest, manifest.shard_paths(text))
        repo_id, revision = match["id"], match["revision"]
        folder = _download(text, repo_id, revision, MANIFEST_FILE).parent
        manifest = read_manifest(folder)
        _download(text, repo_id, folder.name, manifest.descriptions.path)
        if constants.HF_HUB_OFFLINE:
            files = _cached(text, folder, manifest)
        else:
            files = [f"{_HUB}{repo_id}@{folder.name}/{shard.path}" for shard in manifest.shards]
        return cls(text, folder, manifest, files)


def find_all(names: Sequence[str | Path]) -> list[ShardLocation]:
    """Return `ShardLocation.find` for each name."""
    return [ShardLocation.find(name) for name in names]


def _download(name: str, repo_id: str, revision: str | None, file: str) -> Path:
    try:
        return Path(hf_hub_download(repo_id, file, repo_type="dataset", revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{name} is no folder here with a {MANIFEST_FILE}, and {file} cannot be fetched from the Hub's dataset "
            f"{repo_id}: {reason} Give a folder of shards or the id of a dataset that langcell push-shards wrote."
        ) from error


def _cached(name: str, folder: Path, manifest: Manifest) -> list[str]:
    paths = manifest.shard_paths(folder)
    missing = [path for path in paths if not Path(path).exists()]
    if missing:
        raise ValueError(
            f"{name}: HF_HUB_OFFLINE is set, and {len(missing)} of {len(paths)} shards are not in the Hub's cache. "
            f"Unset it to stream them, or fetch them before with: hf download --repo-type dataset {name}"
        )
    return paths
