"""A folder for every open page: its upload and its results, removed when the page is closed."""

import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from langcell.app.messages import FoundCells, NamedFile


@dataclass
class Session:
    """What one open page has.

    Attributes:
        folder: its files, nobody else's.
        upload: name of the uploaded file in it.
        named: the last naming run.
        found: the last search in its result.
        closed: set when the page is closed; work for it should end then.
    """

    folder: Path
    upload: str | None = None
    named: NamedFile | None = None
    found: FoundCells | None = None
    closed: threading.Event = field(default_factory=threading.Event)

    def take_upload(self, path: Path) -> Path:
        """Move an uploaded file here, in place of an earlier one; returns its new path."""
        self.drop_files()
        target = self.folder / path.name
        shutil.move(path, target)
        self.upload = path.name
        return target

    def remove(self) -> None:
        """Remove the folder; that it is gone already is no fault."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def drop_files(self) -> None:
        """Remove the upload and the results."""
        self.upload = None
        self.drop_results()

    def drop_results(self) -> None:
        """Remove what was computed and keep the upload."""
        self.named = self.found = None
        for path in self.folder.iterdir():
            if path.name != self.upload:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


class Sessions:
    """The open pages by their id.

    Args:
        root: an existing folder; each session gets a folder in it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, session_id: str) -> Session:
        """Return the session of a page; a new one with an empty folder at its first request."""
        with self._lock:
            if session_id not in self._sessions:
                self._sessions[session_id] = Session(Path(tempfile.mkdtemp(prefix="session-", dir=self._root)))
            return self._sessions[session_id]

    def close(self, session_id: str) -> None:
        """End a session and remove its files; one that is not there is closed already."""
        with self._lock:
            session = self._sessions.pop(session_id, None)
        if session is not None:
            session.closed.set()
            session.remove()
