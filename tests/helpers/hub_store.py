"""What the small Hub of the tests stores: repositories with commits, branches and tags, and large files by checksum."""

import hashlib
import json
from dataclasses import dataclass, field

# As the Hub's default .gitattributes: these are stored by their sha256, everything else in git.
LARGE_SUFFIXES = (".safetensors", ".parquet", ".h5ad", ".bin", ".png", ".onnx")


@dataclass(frozen=True)
class Blob:
    """The content of a file.

    Attributes:
        content: its bytes.
        is_large: stored as a large file (git LFS).
    """

    content: bytes
    is_large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        """What git itself holds: of a large file the pointer."""
        if not self.is_large:
            return self.content
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return text.encode()

    @property
    def git_id(self) -> str:
        """The id that `git hash-object` gives."""
        return hashlib.sha1(b"blob %d\0" % len(self.pointer) + self.pointer).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.git_id

    def describe(self, path: str) -> dict[str, object]:
        """An entry of a tree listing."""
        entry = {"type": "file", "path": path, "size": len(self.content), "oid": self.git_id}
        if self.is_large:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": len(self.pointer)}
        return entry


@dataclass
class Repository:
    """A repository: its commits by id, and what branches and tags point at.

    Attributes:
        kind: "model", "dataset" or "space".
        private: seen by tokens alone.
        commits: files of each commit by its id.
        messages: of each commit by its id, oldest first.
        refs: commit ids of branches.
        tags: commit ids of tags.
    """

    repo_id: str
    kind: str
    private: bool
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE_SUFFIXES)
        self.commit("main", {".gitattributes": Blob(attributes.encode(), is_large=False)}, "initial commit")

    @property
    def head(self) -> str:
        return self.refs["main"]

    @property
    def files(self) -> dict[str, Blob]:
        """The files of the main branch."""
        return self.commits[self.head]

    def resolve(self, revision: str) -> str | None:
        """The commit id of a branch, tag or commit id."""
        if revision in self.commits:
            return revision
        return self.refs.get(revision) or self.tags.get(revision)

    def commit(self, branch: str, files: dict[str, Blob], message: str) -> str:
        """Make `files` all that a branch holds; returns the commit's id, which contents, message and parent decide."""
        listing = [(path, blob.git_id) for path, blob in sorted(files.items())]
        content = json.dumps([self.kind, self.repo_id, self.refs.get(branch), message, listing])
        commit_id = hashlib.sha1(content.encode()).hexdigest()
        self.commits[commit_id] = dict(files)
        self.messages[commit_id] = message
        self.refs[branch] = commit_id
        return commit_id
