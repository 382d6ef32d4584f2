"""The page of the LangCell app: `langcell app` and the Space run this file.

Only widgets and what they are connected to; what happens behind them is `langcell.app`.
"""

from typing import Any

import gradio as gr
from gradio.themes import Soft

from langcell.app.actions import BY_CONFIDENCE, BY_LABEL, BY_SIMILARITY, Actions, View
from langcell.app.messages import NamingRequest, PageFacts
from langcell.app.options import AppOptions
from langcell.app.serving import Page, serve
from langcell.inference.naming.options import Rerank

TYPED, BRANCH = "names", "a branch of the Cell Ontology"
VALUES = [("raw counts", "counts"), ("TPM or counts per 10k", "linear"), ("log1p of these", "log1p")]
RERANK = [("exact: stops when the label is certain", "exact"), ("full: all scores", "full"), ("none", "none")]
TABLE_COLUMNS = ["label", "cells", "share", "mean confidence"]
FOUND_COLUMNS = ["cell", "label", "confidence", "similarity"]
WELCOME = """<div class="status">
<p><b>Drop an h5ad file</b> with raw counts of human cells, say which labels they can have, and press
<b>Name the cells</b>; or try the sample.</p>
<p>Each cell gets the label whose text fits it best, without any labelled cell. You see a map of the cells, how many
have each label and how sure that is, and take the annotated file with you. A sentence then finds cells.</p>
<p>Files stay on the machine that runs this page, and are removed when you close it.</p></div>"""
# Fonts of the reader's system: nothing is fetched from elsewhere.
THEME = Soft(
    primary_hue="teal",
    secondary_hue="teal",
    neutral_hue="slate",
    radius_size="sm",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)
CSS = """
.gradio-container { max-width: min(1280px, 100vw) !important; margin: 0 auto; }
#map { overflow-x: auto; }
.intro h1 { margin-bottom: 0.1rem; }
.status { padding: 0.7rem 0.9rem; border-left: 3px solid var(--primary-500); background: var(--block-background-fill);
  border-radius: var(--radius-sm); overflow-wrap: anywhere; }
.status p { margin: 0.15rem 0; }
.status.error { border-color: var(--error-border-color, #dc2626); color: var(--error-text-color, #b91c1c); }
"""


def build(actions: Actions, facts: PageFacts) -> Page:
    """The page for a model."""
    options = actions.options
    with gr.Blocks(title="LangCell", analytics_enabled=False, delete_cache=(3600, 86_400)) as blocks:
        gr.Markdown(
            f"# LangCell\nName single cells by text, and find cells by a sentence. Model: `{facts.model_id}`.",
            elem_classes="intro",
        )
        with gr.Row():
            with gr.Column(scale=4, min_width=320):
                inputs = _inputs(options, facts)
            with gr.Column(scale=8, min_width=480):
                outputs = _outputs()
        _connect(blocks, actions, facts, inputs, outputs)
    return Page(blocks, THEME, CSS)


def _inputs(options: AppOptions, facts: PageFacts) -> dict[str, Any]:
    """The left column."""
    parts: dict[str, Any] = {
        "file": gr.File(
            label=f"Cells (h5ad, h5mu, loom, 10x .h5, up to {options.max_upload_mb} MB)",
            file_types=[".h5ad", ".h5mu", ".loom", ".h5", ".gz", ".zip"],
            height=190,
            elem_id="file",
        ),
        "by": gr.Radio([TYPED, BRANCH], value=TYPED, label="Labels from", visible=bool(facts.branches)),
        "labels": gr.Textbox(
            label="Labels",
            info="One a line or between commas; names and ids of the Cell Ontology get their definition. "
            "A label, a tab and a text give it a text of your own.",
            placeholder="B cell\nnatural killer cell\nCD14-positive monocyte",
            lines=7,
            max_lines=14,
            elem_id="labels",
        ),
        "branch": gr.Dropdown(
            [
                (f"{branch.name} ({branch.term_id}), {branch.n_types} types", branch.term_id)
                for branch in facts.branches
            ],
            value=None,
            label="Branch",
            info="Its types among those that the model was trained on. Pick one, or type a name or an id.",
            allow_custom_value=True,
            visible=False,
            elem_id="branch",
        ),
    }
    with gr.Accordion("More", open=False):
        parts |= {
            "x_is": gr.Dropdown(VALUES, value="counts", label="Values"),
            "rerank": gr.Dropdown(RERANK, value="exact", label="Match"),
            "unknown": gr.Number(None, label="Unknown below this confidence", minimum=0, maximum=1, step=0.05),
            "gene_column": gr.Textbox(label="Column of var with the genes", placeholder="the names of var"),
            "layer": gr.Textbox(label="Layer with the values", placeholder="found"),
        }
    parts["name"] = gr.Button("Name the cells", variant="primary", elem_id="name")
    parts["sample"] = gr.Button("Try the sample: 700 blood cells", elem_id="sample")
    return parts


def _outputs() -> dict[str, Any]:
    """The right column; the results are hidden until there are some."""
    parts: dict[str, Any] = {"status": gr.HTML(WELCOME, elem_id="status")}
    with gr.Column(visible=False) as results:
        parts["colour"] = gr.Radio([BY_LABEL, BY_CONFIDENCE], value=BY_LABEL, label="Colour by", elem_id="colour")
        parts["map"] = gr.Plot(label="Map of the cells (UMAP)", elem_id="map")
        with gr.Row(equal_height=True):
            parts["sentence"] = gr.Textbox(
                label="Find cells by a sentence",
                placeholder="cells that make antibodies",
                scale=5,
                max_lines=1,
                elem_id="sentence",
            )
            parts["search"] = gr.Button("Find", scale=1, min_width=90, elem_id="search")
        parts["found"] = gr.Dataframe(
            headers=FOUND_COLUMNS, label="Best cells", interactive=False, visible=False, max_height=300, elem_id="found"
        )
        parts["table"] = gr.Dataframe(
            headers=TABLE_COLUMNS, label="Labels", interactive=False, max_height=460, elem_id="table"
        )
        parts["download"] = gr.DownloadButton("Download the annotated h5ad", elem_id="download")
    parts["results"] = results
    return parts


def _connect(
    blocks: gr.Blocks, actions: Actions, facts: PageFacts, inputs: dict[str, Any], outputs: dict[str, Any]
) -> None:
    """Bind the widgets to the actions."""

    def upload(path: str, request: gr.Request) -> str:
        return actions.take_upload(_session(request), path)

    def drop(request: gr.Request) -> None:
        actions.drop_upload(_session(request))

    def leave(request: gr.Request) -> None:
        actions.leave(_session(request))

    def name(request: gr.Request, *values: Any) -> list[Any]:
        return _shown(actions.name_cells(_session(request), _naming(*values)))

    def sample(request: gr.Request, *values: Any) -> list[Any]:
        return _shown(actions.name_cells(_session(request), _naming(*values), sample=True))

    def search(sentence: str, request: gr.Request) -> list[Any]:
        return _shown(actions.search(_session(request), sentence))

    def colour(chosen: str, request: gr.Request) -> Any:
        return actions.colour(_session(request), chosen)

    def sample_labels(by: str, labels: str) -> str:
        return "\n".join(facts.sample_labels) if by == TYPED and not labels.strip() else labels

    file, by, labels = inputs["file"], inputs["by"], inputs["labels"]
    values = [by, labels, *(inputs[key] for key in ("branch", "x_is", "rerank", "unknown", "gene_column", "layer"))]
    shown = [outputs[key] for key in ("status", "results", "map", "colour", "table", "download", "found")]
    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    slow = {"concurrency_id": "model", "show_progress_on": outputs["status"], "api_visibility": "private"}
    file.upload(upload, file, file, **quick)
    file.clear(drop, **quick)
    by.change(lambda by: (gr.update(visible=by == TYPED), gr.update(visible=by == BRANCH)), by,
              [labels, inputs["branch"]], **quick)  # fmt: skip
    inputs["name"].click(name, values, shown, **slow)
    inputs["sample"].click(sample_labels, [by, labels], labels, **quick).then(sample, values, shown, **slow)
    gr.on([outputs["search"].click, outputs["sentence"].submit], search, outputs["sentence"], shown, **slow)
    outputs["colour"].input(colour, outputs["colour"], outputs["map"], **quick)
    blocks.unload(leave)


def _session(request: gr.Request) -> str:
    return str(request.session_hash)


def _naming(
    by: str,
    labels: str,
    branch: str | None,
    x_is: Any,
    rerank: Rerank,
    unknown: float | None,
    gene_column: str | None,
    layer: str | None,
) -> NamingRequest:
    """What the widgets of the left column say; empty ones are left out."""
    return NamingRequest(
        folder="",
        file=None,
        labels=labels,
        branch=(branch or "") if by == BRANCH else None,
        x_is=x_is,
        rerank=rerank,
        unknown=unknown,
        gene_column=(gene_column or "").strip() or None,
        layer=(layer or "").strip() or None,
    )


def _shown(view: View) -> list[Any]:
    """A view as values of the widgets of the right column."""
    if view.figure is None:
        return [view.status, gr.update(visible=False), *([gr.skip()] * 5)]
    colours = [BY_LABEL, BY_CONFIDENCE, *([BY_SIMILARITY] if view.found else [])]
    return [
        view.status,
        gr.update(visible=True),
        view.figure,
        gr.update(choices=colours, value=view.colour),
        list(map(list, view.table)),
        view.download,
        gr.update(value=list(map(list, view.found)), visible=bool(view.found)),
    ]


if __name__ == "__main__":
    serve(build, AppOptions.from_environment())
