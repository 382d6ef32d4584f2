"""The one folder that an agent may read and write."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LocalFiles:
    """Paths inside a folder; every other path is refused.

    Attributes:
        root: the folder, resolved. Relative paths start here.
    """

    root: Path

    @classmethod
    def under(cls, root: str | Path) -> "LocalFiles":
        """Take a folder as the root.

        Raises:
            ValueError: it is no folder.
        """
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise ValueError(f"{root} is not a folder; give the folder whose files the agent may use.")
        return cls(folder.resolve())

    def to_read(self, path: str) -> Path:
        """Return a file or folder of cells that exists.

        Raises:
            ValueError: the path leads out of the root, or nothing is there.
        """
        found = self._inside(path)
        if not found.exists():
            raise ValueError(f"There is no {path} in the shared folder; it has {self._listing()}.")
        return found

    def to_write(self, path: str) -> Path:
        """Return a path for a new file.

        Raises:
            ValueError: the path leads out of the root, its folder does not exist, or something is there already.
        """
        target = self._inside(path)
        if target.exists():
            raise ValueError(f"{path} exists already; give another output.")
        if not target.parent.is_dir():
            raise ValueError(f"There is no folder for {path}; give an output in a folder that exists.")
        return target

    def name(self, path: Path) -> str:
        """Return a path as the agent writes it: relative to the root."""
        return path.relative_to(self.root).as_posix()

    def _inside(self, path: str) -> Path:
        # Links are followed first: a link inside the root may lead out of it.
        resolved = (self.root / path).resolve()
        if "://" in path or not resolved.is_relative_to(self.root):
            raise ValueError(f"{path} is outside the shared folder; give a path relative to it, such as pbmc.h5ad.")
        return resolved

    def _listing(self, most: int = 10) -> str:
        names = sorted(entry.name for entry in self.root.iterdir() if not entry.name.startswith("."))
        more = f" and {len(names) - most} more" if len(names) > most else ""
        return ", ".join(names[:most]) + more if names else "no files"
