"""What happens behind the buttons, without any widget: a session and the model process in, a view of the page out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langcell.app.figures import BY_LABEL, BY_SENTENCE, cell_map, colourings
from langcell.app.messages import NamedFile, NamingRequest, Proposal, SearchRequest
from langcell.app.model_process import ModelProcess
from langcell.app.options import AppOptions
from langcell.app.sessions import Session, Sessions
from langcell.app.tables import cluster_table, error_line, found_table, label_table, status_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Of an uploaded archive that is unpacked; matrices of counts shrink to a tenth or more.
_UNPACKED_TIMES = 20


@dataclass(frozen=True)
class View:
    """What the page shows after an action.

    Attributes:
        status: HTML; an error is one line of class "error".
        figure: the map; None when there is none.
        colours: what it can be coloured by.
        colour: what it is coloured by.
        types: table of labels, HTML.
        clusters: table of clusters, HTML; "" without clusters.
        found: the cells that fit the sentence best, HTML; "" without a search.
        downloads: kind -> path of what can be taken home.
        proposals: what labels without a term may mean.
    """

    status: str
    figure: "go.Figure | None" = None
    colours: Sequence[str] = ()
    colour: str = BY_LABEL
    types: str = ""
    clusters: str = ""
    found: str = ""
    downloads: Mapping[str, str] = field(default_factory=dict)
    proposals: Sequence[Proposal] = ()


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
        """End the work of a page that was closed, and remove its files."""
        self._sessions.close(session_id)

    def name_cells(self, session_id: str, request: NamingRequest, *, sample: bool = False) -> View:
        """Name the uploaded cells, or the sample; `folder` and `file` of the request are filled in here."""
        session = self._sessions.get(session_id)
        try:
            if not sample and session.upload is None:
                raise ValueError("There is no file; drop one with cells, or try the sample.")
            session.drop_results()
            request = replace(
                request,
                folder=str(session.folder),
                file=None if sample else session.upload,
                max_points=self.options.max_points,
                max_unpacked_mb=_UNPACKED_TIMES * self.options.max_upload_mb,
            )
            session.named = named = self._call(session, "name_cells", request)
        except (ValueError, OSError) as error:
            return View(error_line(error))
        return _view(session, BY_LABEL, status_of(named.headline, named))

    def search(self, session_id: str, sentence: str) -> View:
        """Colour the map by the similarity to a sentence, and list the cells that fit it best."""
        session = self._sessions.get(session_id)
        try:
            named = _named(session)
            request = SearchRequest(str(session.folder), named.file, sentence, named.drawn.rows)
            session.found = found = self._call(session, "find_cells", request)
        except (ValueError, OSError) as error:
            colour = BY_LABEL if session.found is None else BY_SENTENCE
            return replace(_view(session, colour), status=error_line(error))
        notes = [found.note] if found.note else []
        return _view(session, BY_SENTENCE, status_of(f"Searched for: {found.text}", replace(named, notes=notes)))

    def colour(self, session_id: str, colour: str) -> "go.Figure | None":
        """Return the map in other colours."""
        session = self._sessions.get(session_id)
        return None if session.named is None else _figure(session.named, session, colour)

    def _call(self, session: Session, method: str, request: Any) -> Any:
        try:
            return self._process.call(method, request, cancelled=session.closed.is_set)
        finally:
            if session.closed.is_set():  # the work may have written after the folder was removed
                session.remove()


def _named(session: Session) -> NamedFile:
    if session.named is None:
        raise ValueError("There are no named cells to search; name the cells of a file, or try the sample, first.")
    return session.named


def _figure(named: NamedFile, session: Session, colour: str) -> "go.Figure":
    return cell_map(named.drawn, session.found, colour, named.styles)


def _view(session: Session, colour: str, status: str = "") -> View:
    if (named := session.named) is None:
        return View(status)
    return View(
        status=status,
        figure=_figure(named, session, colour),
        colours=colourings(named.drawn, session.found),
        colour=colour,
        types=label_table(named),
        clusters=cluster_table(named.clusters, named.cluster_column, named.cluster_genes),
        found=found_table(session.found.best if session.found else ()),
        downloads={kind: str(session.folder / file) for kind, file in named.files.items()},
        proposals=named.proposals,
    )
