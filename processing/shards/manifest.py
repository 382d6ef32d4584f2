"""What a finished folder of shards holds: read its manifest, and check its files against it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.genes import check_same_vocabulary

SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)  # version 1 lacks what has a default below
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class ShardOrigin:
    """The rows of a source that a shard was made from, and what became of them.

    Attributes:
        source: Position in the manifest's `sources`.
        start: First row; of a Census the `soma_joinid`.
        stop: Row that it stops before.
        read: Cells that were read: all rows, or of a Census those that its filter lets through.
        dropped: How many of them were dropped, by reason.
        n_counts: Sum of the counts of the cells written, over all genes.
        n_known_counts: Sum over the genes in the vocabulary.
    """

    source: int
    start: int
    stop: int
    read: int
    dropped: Mapping[str, int]
    n_counts: float
    n_known_counts: float


@dataclass(frozen=True)
class FileRecord:
    """One parquet file of a finished folder.

    Attributes:
        path: Relative to the folder, with forward slashes.
        sha256: Checksum of its bytes.
        rows: Cells, or descriptions.
        tokens: Sum of the lengths of the cells; 0 for descriptions.
        origin: The rows that it was made from, where the cells were tokenized from files or a Census.
    """

    path: str
    sha256: str
    rows: int
    tokens: int = 0
    origin: ShardOrigin | None = None

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "FileRecord":
        """Return a record from what `dataclasses.asdict` made of it.

        Raises:
            KeyError, TypeError: A field is missing or unknown.
        """
        origin = fields.get("origin")
        return cls(**{**fields, "origin": None if origin is None else ShardOrigin(**origin)})


@dataclass(frozen=True)
class Manifest:
    """What a finished folder of shards holds.

    Attributes:
        schema_version: Version of the layout, `SCHEMA_VERSION`.
        vocabulary_fingerprint: Fingerprint of the gene vocabulary that the ids belong to.
        max_length: Most ids a cell may have, `<cls>` included.
        total_cells: Cells in all shards.
        shards: The cell files, in order.
        descriptions: The table of descriptions.
        sources: Where the cells come from: name, sha256 and what else is known of each. Of tokenized sources also the
            number of cells `read` and `written`, those `dropped` by reason (read = written + all dropped), and the
            share of the counts of the written cells that the gene vocabulary covers, `known_counts`.
        simulation: Seed and parameters, where the cells are simulated.
        tokenizing: Options that the cells were tokenized with, and the plan's checksum, where they were.
    """

    schema_version: int
    vocabulary_fingerprint: str
    max_length: int
    total_cells: int
    shards: tuple[FileRecord, ...]
    descriptions: FileRecord
    sources: tuple[Mapping[str, Any], ...]
    simulation: Mapping[str, Any] | None = None
    tokenizing: Mapping[str, Any] | None = None

    def shard_paths(self, folder: str | Path) -> list[str]:
        """Return the paths of the cell files, as `datasets.load_dataset("parquet", data_files=...)` takes them."""
        return [str(Path(folder) / shard.path) for shard in self.shards]


def sha256_of(path: str | Path) -> str:
    """Return the checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Write the manifest, whole or not at all; the same manifest gives the same bytes."""
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True)
    with atomic_output(Path(folder) / MANIFEST_FILE) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_manifest(folder: str | Path) -> Manifest:
    """Read the manifest of a folder of shards.

    Raises:
        ValueError: There is none (no shards, or a run that did not finish), it is damaged, or of another version.
    """
    path = Path(folder) / MANIFEST_FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} has no {MANIFEST_FILE}: no shards, or unfinished ones; write them again.") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; write the shards again.") from error
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if version not in READABLE_VERSIONS:
        readable = " and ".join(map(str, READABLE_VERSIONS))
        raise ValueError(
            f"{path} has schema version {version!r}, but {readable} are read here: write the shards again."
        )
    try:
        return Manifest(
            **fields
            | {
                "shards": tuple(FileRecord.from_json(record) for record in fields["shards"]),
                "descriptions": FileRecord.from_json(fields["descriptions"]),
                "sources": tuple(fields["sources"]),
            }
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}; write the shards again.") from error


def is_finished(folder: str | Path) -> bool:
    """Return whether shards in this folder were written to the end: the manifest comes last."""
    return (Path(folder) / MANIFEST_FILE).exists()


def verify(folder: str | Path) -> list[str]:
    """Compare every file with its checksum in the manifest.

    Returns:
        One line for each file that is missing or has changed; empty when all is well.

    Raises:
        ValueError: The manifest itself cannot be read.
    """
    manifest, problems = read_manifest(folder), []
    for record in (*manifest.shards, manifest.descriptions):
        path = Path(folder) / record.path
        if not path.is_file():
            problems.append(f"{record.path} is missing")
        elif sha256_of(path) != record.sha256:
            problems.append(f"{record.path} has changed: its sha256 is not {record.sha256[:12]}...")
    return problems


def check_fingerprint(manifest: Manifest, vocabulary_fingerprint: str) -> None:
    """Refuse shards that were made with another gene vocabulary.

    Args:
        manifest: The manifest of the shards.
        vocabulary_fingerprint: Fingerprint of the vocabulary at hand, such as the model's.

    Raises:
        ValueError: The fingerprints differ; the message names both.
    """
    check_same_vocabulary(vocabulary_fingerprint, manifest.vocabulary_fingerprint, "the model", "the folder of shards")
