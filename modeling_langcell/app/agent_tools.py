"""The tools that the page serves to agents, over the Model Context Protocol at /gradio_api/mcp.

The docstrings are what an agent reads. Each call has a session of its own, whose files are gone when it has answered.
"""

import json
import shutil
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langcell.app.messages import NamedFile, NamingRequest
from langcell.app.model_process import ModelProcess
from langcell.app.options import AppOptions
from langcell.app.sessions import Session, Sessions
from langcell.one_line import USER_ERRORS, one_line

_SAMPLE = "sample"
_ADDRESS = "/gradio_api/file="


class AgentTools:
    """What agents can ask of the page.

    Args:
        options: options of the app.
        sessions: folders of the app.
        process: the model.
        uploads: folder in which Gradio keeps what was uploaded; nothing outside of it is read.
    """

    def __init__(self, options: AppOptions, sessions: Sessions, process: ModelProcess, uploads: Path) -> None:
        self._options, self._sessions, self._process, self._uploads = options, sessions, process, uploads

    def register(self) -> None:
        """Add the tools to the page that is being built; call it inside `gr.Blocks`."""
        from gradio.events import api

        for tool in (self.list_labels, self.name_cells):
            api(tool, api_name=tool.__name__, concurrency_id="model")

    def list_labels(self, contains: str = "") -> str:
        """List cell types that the model was trained on, as candidate labels for name_cells, in JSON.

        Args:
            contains: only types with these letters in their name, such as "T cell"; all types when empty.
        """
        return _answer(lambda: {"labels": self._process.call("trained_types", contains)})

    def name_cells(self, file: str, labels: list[str], tissue: str = "") -> str:
        """Name each cell of a file by the candidate that fits it best, without any labelled cell. Answers in JSON.

        The answer has the number of cells and the mean confidence of each label, the genes for and against it, and
        one name per cluster where the file has clusters.

        Args:
            file: what POST /gradio_api/upload (form field "files") answered for a file with raw counts; or "sample".
            labels: candidate cell types in words, such as ["B cell", "NK cell"]; empty with a tissue.
            tissue: a tissue in place of labels, such as "blood"; its types become the candidates.
        """
        return _answer(lambda: self._named(file, labels, tissue))

    def _named(self, file: str, labels: list[str], tissue: str) -> dict[str, Any]:
        if bool(labels) == bool(tissue):
            raise ValueError("Give either labels or a tissue; list_labels has the types that the model knows.")
        session_id = f"agent-{uuid.uuid4()}"
        session = self._sessions.get(session_id)
        try:
            request = NamingRequest(
                folder=str(session.folder),
                file=None if file == _SAMPLE else self._copied(file, session),
                labels="\n".join(labels),
                tissue=tissue or None,
                max_points=self._options.max_points,
            )
            return _record(self._process.call("name_cells", request, cancelled=session.closed.is_set))
        finally:
            self._sessions.close(session_id)

    def _copied(self, file: str, session: Session) -> str:
        """Copy an uploaded file into a session; returns its name there."""
        path, sessions = Path(file.rpartition(_ADDRESS)[2]).resolve(), self._uploads.resolve().glob("session-*")
        if (
            not path.is_relative_to(self._uploads.resolve())
            or any(path.is_relative_to(folder) for folder in sessions)  # files of pages are theirs alone
            or not path.is_file()
        ):
            raise ValueError(f"{file} is no uploaded file; give what POST /gradio_api/upload answered, or {_SAMPLE!r}.")
        shutil.copyfile(path, session.folder / path.name)
        return path.name


def _record(named: NamedFile) -> dict[str, Any]:
    labels = [
        {"label": label, "cells": n, "mean_confidence": round(float(sure), 3)} for label, n, _, sure in named.table
    ]
    return {
        "cells": named.n_cells,
        "labels": labels,
        "genes": {label: asdict(genes) for label, genes in named.genes.items()},
        "clusters": named.clusters,
        "notes": [*([named.warning] if named.warning else []), *named.notes],
    }


def _answer(work: Any) -> str:
    """Return the result of some work as JSON; an error of the user reaches the agent as one line."""
    import gradio as gr

    try:
        return json.dumps(work(), default=lambda value: value.item())
    except USER_ERRORS as error:
        raise gr.Error(one_line(error), print_exception=False) from error
