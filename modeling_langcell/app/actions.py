"""What happens behind the buttons, without any widget: a session and the model process in, a view of the page out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langcell.app.figures import map_by_label, map_by_value
from langcell.app.messages import FoundCells, NamedFile, NamingRequest, SearchRequest
from langcell.app.model_process import ModelProcess
from langcell.app.options import AppOptions
from langcell.app.sessions import Session, Sessions
from langcell.one_line import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go

BY_LABEL, BY_CONFIDENCE, BY_SIMILARITY = "label", "confidence", "sentence"
Row = Sequence[Any]


@dataclass(frozen=True)
class View:
    """What the page shows after an action.

    Attributes:
        status: HTML; an error is one line of class "error".
        figure: the map; None when there is none.
        table: label, cells, share, mean confidence.
        download: path of the annotated h5ad.
        colour: what the map is coloured by.
        found: cell, label, confidence, similarity of the cells that fit the sentence best.
    """

    status: str
    figure: "go.Figure | None" = None
    table: Sequence[Row] = ()
    download: str | None = None
    colour: str = BY_LABEL
    found: Sequence[Row] = ()


class Actions:
    """The actions of the page. A session is one open page; errors of the user come back as the status."""

    def __init__(self, options: AppOptions, sessions: Sessions, process: ModelProcess) -> None:
        self.options, self._sessions, self._process = options, sessions, process

    def take_upload(self, session_id: str, path: str) -> str:
        """Keep an uploaded file in the session; returns where it is now."""
        return str(self._sessions.get(session_id).take_upload(Path(path)))

    def drop_upload(self, session_id: str) -> None:
        """Remove the session's files."""
        self._sessions.get(session_id).drop_files()

    def leave(self, session_id: str) -> None:
        """The page was closed: end its work and remove its files."""
        self._sessions.close(session_id)

    def name_cells(self, session_id: str, request: NamingRequest, *, sample: bool = False) -> View:
        """Name the uploaded cells, or the sample; `folder` and `file` of the request are filled in here."""
        session = self._sessions.get(session_id)
        try:
            if not sample and session.upload is None:
                raise ValueError("There is no file; drop an h5ad file, or use the sample.")
            session.drop_results()
            request = replace(
                request,
                folder=str(session.folder),
                file=None if sample else session.upload,
                max_points=self.options.max_points,
            )
            session.named = named = self._call(session, "name_cells", request)
        except (ValueError, OSError) as error:
            return View(error_line(error))
        return _view(session, BY_LABEL, status=_notes(named.notes))

    def search(self, session_id: str, sentence: str) -> View:
        """Colour the map by the similarity to a sentence, and list the cells that fit it best."""
        session = self._sessions.get(session_id)
        try:
            named = _named(session)
            request = SearchRequest(str(session.folder), named.file, sentence, named.cell_map.rows)
            session.found = found = self._call(session, "find_cells", request)
        except (ValueError, OSError) as error:
            colour = BY_LABEL if session.found is None else BY_SIMILARITY
            return replace(_view(session, colour), status=error_line(error))
        return _view(session, BY_SIMILARITY, status=_notes([f"Searched for: {found.text}"]))

    def colour(self, session_id: str, colour: str) -> "go.Figure | None":
        """The map in other colours."""
        session = self._sessions.get(session_id)
        return None if session.named is None else _figure(session.named, session.found, colour)

    def _call(self, session: Session, method: str, request: Any) -> Any:
        try:
            return self._process.call(method, request, cancelled=session.closed.is_set)
        finally:
            if session.closed.is_set():  # the work may have written after the folder was removed
                session.remove()


def error_line(error: Exception) -> str:
    """An error as the page shows it: the line that the command line prints."""
    return f'<div class="status error" role="alert">{escape(one_line(error), quote=False)}</div>'


def _notes(lines: Sequence[str]) -> str:
    inner = "".join(f"<p>{escape(line, quote=False)}</p>" for line in lines)
    return f'<div class="status" role="status">{inner}</div>'


def _named(session: Session) -> NamedFile:
    if session.named is None:
        raise ValueError("There are no named cells to search; name the cells of a file, or use the sample, first.")
    return session.named


def _view(session: Session, colour: str, status: str = "") -> View:
    if (named := session.named) is None:
        return View(status)
    return View(
        status=status,
        figure=_figure(named, session.found, colour),
        table=[(label, cells, f"{share:.1%}", f"{confidence:.3f}") for label, cells, share, confidence in named.table],
        download=str(session.folder / named.file),
        colour=colour,
        found=[
            (cell, label, f"{confidence:.3f}", f"{similarity:.3f}")
            for cell, label, confidence, similarity in (session.found.best if session.found else ())
        ],
    )


def _figure(named: NamedFile, found: FoundCells | None, colour: str) -> "go.Figure":
    if colour == BY_CONFIDENCE:
        return map_by_value(named.cell_map, named.cell_map.confidence, title="confidence")
    if colour == BY_SIMILARITY and found is not None:
        return map_by_value(named.cell_map, found.similarity, title="similarity")
    return map_by_label(named.cell_map)
