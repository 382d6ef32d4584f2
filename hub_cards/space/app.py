"""The page of the LangCell app: `langcell app` and the Space run this file.

Only widgets and what they are connected to; what happens behind them is `langcell.app`.
"""

import os
from typing import Any

import gradio as gr
from gradio.themes import Soft

from langcell.app import downloads, wording
from langcell.app.actions import Actions, View
from langcell.app.figures import BY_LABEL
from langcell.app.messages import NamingRequest, PageFacts
from langcell.app.options import AppOptions
from langcell.app.serving import Page, serve
from langcell.app.tables import error_line

TYPED, TISSUE, BRANCH = "cell types that I name", "a tissue", "a family of cell types"
VALUES = [(wording.RAW, "counts"), (wording.LINEAR, "linear"), (wording.LOGGED, "log1p")]
UNKNOWN = [("get the closest type", "closest"), ("are called unknown", "auto")]
DOWNLOADS = {
    downloads.ANNOTATED: "Named cells (h5ad)",
    downloads.CELLS: "Table of cells (CSV)",
    downloads.CLUSTERS: "Table of clusters (CSV)",
    downloads.REPORT: "Report (HTML)",
    downloads.SVG: "Figure (SVG)",
    downloads.PNG: "Figure (PNG)",
}
# Tried on the sample: 19 of the 20 cells that fit it best were sorted as NK cells.
SENTENCE = "a lymphocyte that kills tumour cells and virus-infected cells"
WELCOME = """<div class="status">
<p><b>1.</b> Drop a file of human cells with raw counts: h5ad, h5mu, loom, Cell Ranger's .h5, or its folder as a zip.
<b>2.</b> Say which cell types there can be. <b>3.</b> Press <b>Name the cells</b>. Or try the sample first.</p>
<p>Each cell gets the type whose description fits it best. No labelled cells are needed. You get a map, tables, a report
and the named file.</p>
<p>Files stay on the machine that runs this page. They are removed when you close it.</p></div>"""
# Fonts of the reader's system: nothing is fetched from elsewhere.
THEME = Soft(
    primary_hue="teal",
    secondary_hue="teal",
    neutral_hue="slate",
    radius_size="sm",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    # Soft's own shades of text are too light to be read by everybody: each of these has a contrast of 4.5 or more.
    body_text_color_subdued="*neutral_500",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_300",
    block_label_text_color="*primary_800",
    block_label_background_fill_dark="*primary_700",
    block_title_text_color="*primary_800",
    link_text_color="*primary_700",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
    checkbox_label_background_fill_selected="*primary_700",
    checkbox_label_background_fill_selected_dark="*primary_700",
)
CSS = """
.gradio-container { max-width: min(1280px, 100vw) !important; margin: 0 auto; }
.intro h1 { margin-bottom: 0.1rem; }
.status { padding: 0.6rem 0.9rem; border-left: 3px solid var(--primary-500); background: var(--block-background-fill);
  border-radius: var(--radius-sm); overflow-wrap: anywhere; }
.status p { margin: 0.15rem 0; }
.status.error { border-color: var(--error-border-color, #dc2626); color: var(--error-text-color, #b91c1c); }
.status .warning { border-left: 3px solid #d97706; padding-left: 0.5rem; font-weight: 600; }
.status summary { cursor: pointer; color: var(--body-text-color-subdued); }
#file .wrap { color: var(--body-text-color-subdued); }
#map .infolayer text { fill: var(--body-text-color) !important; }
.table { overflow-x: auto; }
.table table { width: 100%; border-collapse: collapse; border: 0 !important; font-size: 0.9rem; }
.table caption { text-align: left; font-weight: 600; padding: 0.4rem 0; color: var(--body-text-color); }
.table th, .table td { text-align: left; padding: 0.3rem 0.5rem; border: 0 !important;
  border-bottom: 1px solid var(--border-color-primary) !important;
  color: var(--body-text-color); }
.table td { overflow-wrap: anywhere; }
.table tr, .table thead, .table tbody { border: 0 !important; }
.table .number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.table .mark { font-size: 0.75rem; background: #fde68a; color: #78350f; border-radius: 4px; padding: 0 0.35rem; }
.table .why { display: inline-block; vertical-align: top; max-width: calc(100% - 1.4rem); }
.table .why summary { cursor: pointer; } .table .why p { margin: 0.2rem 0; font-size: 0.85rem; }
.table:focus-visible, .why summary:focus-visible, .status summary:focus-visible {
  outline: 2px solid var(--primary-500); outline-offset: 2px; }
#downloads button { min-width: 150px; }
@media (max-width: 760px) {
  /* On a telephone what was found stands above the form that asked for it. */
  #outputs:has(#map) { order: -1; }
  #inputs, #outputs { min-width: 100% !important; }
  .table th, .table td { padding: 0.3rem 0.25rem; font-size: 0.85rem; }
  .gradio-container { padding: 0.5rem !important; }
}
"""
# A screen reader says what the status comes to; a narrow window goes to the results.
_ON_LOAD = """() => { const place = document.querySelector("#status");
  if (place) { place.setAttribute("aria-live", "polite"); place.setAttribute("aria-atomic", "true"); } }"""
_SHOW = """() => { if (window.innerWidth <= 760)
  document.querySelector("#status").scrollIntoView({ block: "start" }); }"""


def build(actions: Actions, facts: PageFacts) -> Page:
    """Return the page for a model."""
    with gr.Blocks(title="LangCell", analytics_enabled=False, delete_cache=(3600, 86_400)) as blocks:
        gr.Markdown(
            f"# LangCell\nName single cells in words, and find cells by a sentence. Model: `{facts.model_id}`.",
            elem_classes="intro",
        )
        with gr.Row():
            with gr.Column(scale=4, min_width=320, elem_id="inputs"):
                inputs = _inputs(actions.options, facts)
            with gr.Column(scale=8, min_width=320, elem_id="outputs"):
                outputs = _outputs()
        _connect(blocks, actions, facts, inputs, outputs)
    return Page(blocks, THEME, CSS)


def _inputs(options: AppOptions, facts: PageFacts) -> dict[str, Any]:
    """Return the left column."""
    ways = [TYPED, *([TISSUE] if facts.tissues else []), *([BRANCH] if facts.branches else [])]
    parts: dict[str, Any] = {
        "file": gr.File(
            label=f"File with cells, up to {options.max_upload_mb} MB",
            file_types=[".h5ad", ".h5mu", ".loom", ".h5", ".gz", ".zip", ".tar", ".tgz"],
            height=180,
            elem_id="file",
        ),
        "by": gr.Radio(ways, value=TYPED, label="Choose among", visible=len(ways) > 1, elem_id="by"),
        "labels": gr.Textbox(
            label=wording.LABELS,
            info="One per line, or with commas between them. Usual names and short forms are understood.",
            placeholder="B cell\nnatural killer cell\nCD14-positive monocyte",
            lines=6,
            max_lines=14,
            elem_id="labels",
        ),
        "tissue": gr.Dropdown(
            facts.tissues,
            value=None,
            label="Tissue",
            info="Its types among those that the model was trained on.",
            visible=False,
            elem_id="tissue",
        ),
        "branch": gr.Dropdown(
            [(f"{branch.name}, {branch.n_types} types", branch.term_id) for branch in facts.branches],
            value=None,
            label="Family of cell types",
            info="A term of the Cell Ontology; its types among those that the model was trained on.",
            allow_custom_value=True,
            visible=False,
            elem_id="branch",
        ),
    }
    parts |= _proposals()
    with gr.Accordion("More options", open=False, elem_id="more"):
        parts |= _more()
    parts["name"] = gr.Button("Name the cells", variant="primary", elem_id="name")
    parts["sample"] = gr.Button("Try the sample: 700 blood cells", elem_id="sample")
    return parts


def _proposals() -> dict[str, Any]:
    """Return what labels without a term may mean, to be accepted by a click; hidden until there is something."""
    with gr.Group(visible=False, elem_id="proposals") as group:
        chosen = gr.CheckboxGroup([], label="Did you mean", elem_id="proposed")
        accept = gr.Button("Use the checked names, and name again", size="sm", elem_id="accept")
    return {"proposals": group, "proposed": chosen, "accept": accept}


def _more() -> dict[str, Any]:
    """Options that most files do not need. Opening them changes nothing: each has the value that is used without."""
    return {
        "x_is": gr.Dropdown(VALUES, value="counts", label=wording.VALUES, elem_id="values"),
        "unknown": gr.Dropdown(UNKNOWN, value="closest", label=wording.UNKNOWN, elem_id="unknown"),
        "least": gr.Textbox(
            "",
            label=wording.LEAST,
            info="0 to 1. Cells below it are called unknown.",
            placeholder="none",
            elem_id="least",
        ),
        "clusters": gr.Textbox(
            label=wording.CLUSTERS,
            info="Each cluster gets a name, too.",
            placeholder="leiden, louvain or seurat_clusters, if there is one",
        ),
        "make": gr.Checkbox(False, label=wording.MAKE, elem_id="make"),
        "gene_column": gr.Textbox(label=wording.GENES, placeholder="found in the file"),
        "layer": gr.Textbox(label=wording.LAYER, placeholder="found in the file"),
    }


def _outputs() -> dict[str, Any]:
    """Return the right column; the results are hidden until there are some."""
    parts: dict[str, Any] = {"status": gr.HTML(WELCOME, elem_id="status")}
    with gr.Column(visible=False) as results:
        parts["colour"] = gr.Radio([BY_LABEL], value=BY_LABEL, label="Colour the map by", elem_id="colour")
        parts["map"] = gr.Plot(label="Map of the cells", show_label=False, elem_id="map")
        parts["types"] = gr.HTML(elem_id="table")
        parts["cluster_names"] = gr.HTML(visible=False, elem_id="clusters")
        with gr.Row(equal_height=True):
            parts["sentence"] = gr.Textbox(
                label="Find cells by a sentence", placeholder=SENTENCE, scale=5, max_lines=1, elem_id="sentence"
            )
            parts["search"] = gr.Button("Find", scale=1, min_width=90, elem_id="search")
        parts["found"] = gr.HTML(visible=False, elem_id="found")
        with gr.Row(elem_id="downloads"):
            for kind, title in DOWNLOADS.items():
                parts[kind] = gr.DownloadButton(title, size="sm", min_width=150, elem_id=f"download-{kind}")
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
        return _named(actions, _session(request), values, sample=False)

    def sample(request: gr.Request, *values: Any) -> list[Any]:
        return _named(actions, _session(request), values, sample=True)

    def again(request: gr.Request, was_sample: bool, *values: Any) -> list[Any]:
        return _named(actions, _session(request), values, sample=was_sample)

    def search(sentence: str, request: gr.Request) -> list[Any]:
        return _shown(actions.search(_session(request), sentence))

    def colour(chosen: str, request: gr.Request) -> Any:
        return actions.colour(_session(request), chosen)

    file, by, labels, branch, tissue = (inputs[key] for key in ("file", "by", "labels", "branch", "tissue"))
    more = [inputs[key] for key in ("x_is", "unknown", "least", "clusters", "make", "gene_column", "layer")]
    values = [by, labels, branch, tissue, *more]
    kinds = [outputs[kind] for kind in DOWNLOADS]
    shown = [outputs[key] for key in ("status", "results", "map", "colour", "types", "cluster_names", "found")]
    shown += [inputs["proposals"], inputs["proposed"], *kinds]
    was_sample = gr.State(False)
    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    slow = {"concurrency_id": "model", "show_progress_on": outputs["status"], "api_visibility": "private"}
    file.upload(upload, file, file, **quick)
    file.clear(drop, **quick)
    by.change(lambda by: [gr.update(visible=by == way) for way in (TYPED, TISSUE, BRANCH)], by,
              [labels, tissue, branch], **quick)  # fmt: skip
    named = [
        inputs["name"].click(lambda: False, None, was_sample, **quick).then(name, values, shown, **slow),
        inputs["sample"].click(lambda *now: [True, *_for_sample(facts, *now)], [by, labels, branch, tissue],
                               [was_sample, labels, branch, tissue], **quick).then(sample, values, shown, **slow),
        inputs["accept"].click(_accepted, [labels, inputs["proposed"]], labels, **quick)
        .then(again, [was_sample, *values], shown, **slow),
        gr.on([outputs["search"].click, outputs["sentence"].submit], search, outputs["sentence"], shown, **slow),
    ]  # fmt: skip
    for event in named:
        event.then(None, js=_SHOW)
    # Of clicks that come while the map is drawn the last one counts; by default none would.
    outputs["colour"].input(colour, outputs["colour"], outputs["map"], trigger_mode="always_last", **quick)
    blocks.load(None, js=_ON_LOAD)
    blocks.unload(leave)


def _session(request: gr.Request) -> str:
    return str(request.session_hash)


def _for_sample(facts: PageFacts, by: str, labels: str, branch: str | None, tissue: str | None) -> list[Any]:
    """Return what the sample is named by in each way of choosing, where nothing is chosen yet."""
    if by == TYPED and not labels.strip():
        labels = "\n".join(facts.sample_labels)
    if by == BRANCH and not branch:
        ids = [each.term_id for each in facts.branches]
        branch = next((term_id for term_id in ("CL:0000738", "CL:0000988", "CL:0000542") if term_id in ids), ids[0])
    if by == TISSUE and not tissue:
        tissue = "blood" if "blood" in facts.tissues else facts.tissues[0]
    return [labels, branch, tissue]


def _accepted(labels: str, chosen: list[str]) -> str:
    """Return the labels, with the checked proposals in place of what was typed."""
    return wording.with_names(labels, dict(pair.split(_ARROW) for pair in chosen))


_ARROW = " → "


def _named(actions: Actions, session_id: str, values: tuple[Any, ...], *, sample: bool) -> list[Any]:
    try:
        request = _naming(*values, sample=sample)
    except ValueError as error:
        return _shown(View(error_line(error)))
    return _shown(actions.name_cells(session_id, request, sample=sample))


def _naming(
    by: str,
    labels: str,
    branch: str | None,
    tissue: str | None,
    x_is: Any,
    unknown: str,
    least: str,
    clusters: str | None,
    make: bool,
    gene_column: str | None,
    layer: str | None,
    *,
    sample: bool,
) -> NamingRequest:
    """Return what the widgets of the left column say; empty ones are left out, and the sample is read as it is.

    Raises:
        ValueError: the least confidence is no number from 0 to 1.
    """
    reading: dict[str, Any] = {"x_is": x_is, "gene_column": _given(gene_column), "layer": _given(layer)}
    reading |= {"cluster_column": _given(clusters), "make_clusters": make}
    return NamingRequest(
        folder="",
        file=None,
        labels=labels,
        branch=(branch or "") if by == BRANCH else None,
        tissue=(tissue or "") if by == TISSUE else None,
        unknown="auto" if unknown == "auto" else wording.least_confidence(least),
        **({} if sample else reading),
    )


def _given(text: str | None) -> str | None:
    return (text or "").strip() or None


def _shown(view: View) -> list[Any]:
    """Return a view as values of the widgets."""
    if view.figure is None:
        return [view.status, gr.update(visible=False), *([gr.skip()] * 5), gr.update(visible=False), gr.skip(),
                *([gr.skip()] * len(DOWNLOADS))]  # fmt: skip
    proposed = [f"{each.label}{_ARROW}{each.name}" for each in view.proposals]
    return [
        view.status,
        gr.update(visible=True),
        view.figure,
        gr.update(choices=list(view.colours), value=view.colour),
        view.types,
        gr.update(value=view.clusters, visible=bool(view.clusters)),
        gr.update(value=view.found, visible=bool(view.found)),
        gr.update(visible=bool(proposed)),
        gr.update(choices=proposed, value=proposed),
        *(gr.update(value=view.downloads.get(kind), visible=kind in view.downloads) for kind in DOWNLOADS),
    ]


if __name__ == "__main__":
    # A Space serves its tools to agents, too, unless LANGCELL_TOOLS is 0.
    serve(build, AppOptions.from_environment({"LANGCELL_TOOLS": "1", **os.environ}))
