"""The report: one HTML file with everything in it, which opens without a network."""

import base64
import json
import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from langcell.processing.cells.annotation_values import check_page_place
from langcell.processing.files.atomic_output import atomic_output
from langcell.reporting.cell_figures import NOVELTY_COLOURS, group_map, label_map, value_map
from langcell.reporting.cell_map import MOST_FITTED
from langcell.reporting.contents import MOST_DRAWN, NamedData, check_sample_column, counts_by_sample, read_named
from langcell.reporting.drawn_cells import by_frequency
from langcell.reporting.evidence import evidence_section
from langcell.reporting.figures import MOST_SAMPLES, composition, confidence_histogram
from langcell.reporting.methods import CITATION, confidence_sentence, methods_paragraph, novelty_sentence
from langcell.reporting.styles import Style, styles_of

logger = logging.getLogger("langcell")

_LIBRARIES = ("langcell", "torch", "transformers", "anndata", "numpy", "umap-learn", "plotly")
# What the settings are called on the page; lists of labels have their own places.
_SETTINGS = {
    "model_id": "model",
    "model_revision": "revision",
    "vocabulary_fingerprint": "gene vocabulary",
    "langcell_version": "named with langcell",
    "dtype": "numbers",
    "alpha": "alpha (weight of the similarity)",
    "rerank": "rerank",
    "k": "k",
    "unknown_below": "unknown below",
    "smooth": "smoothing",
    "smooth_over": "smoothed over",
    "ontology_backoff": "ontology back-off",
    "values_from": "values from",
    "x_is": "values are",
    "pairs_evaluated": "(cell, label) pairs matched",
}


def write_report(
    source: Any,
    output: str | Path,
    *,
    sample_column: str | None = None,
    command: Sequence[str] | None = None,
    data_name: str | None = None,
    most_drawn: int = MOST_DRAWN,
    seed: int = 0,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Write what is known of named cells into one HTML file that opens offline.

    It shows the cells in a plane (the file's own UMAP, else one of the embeddings) by label, confidence and novelty,
    the clusters, the composition of each sample, how much of the genes the model knows, a paragraph for the methods of
    a paper, and what is needed to do it again. It takes the extra `app` (plotly).

    Args:
        source: an AnnData, or the path of an h5ad or zarr file, that `langcell.annotate` has named.
        output: the .html file.
        sample_column: column of obs that names the samples; found by its name (donor_id, sample, ...) when None.
        command: the words of the command that named the cells; told from the settings when None.
        data_name: what the page calls the data; the name of the file when None.
        most_drawn: cells of the map; of more, so many are drawn at random.
        seed: random seed of the map.
        evidence: genes for and against each label: `langcell.explain(...).record()`, or what its --json printed.

    Raises:
        FileNotFoundError: the source or the folder of the output does not exist.
        ValueError: cells that are not named, an unknown column, a wrong suffix, or plotly is missing.
    """
    check_report(output)
    logger.info("Drawing the report ...")
    named = read_named(source, sample_column=sample_column, most_drawn=most_drawn, seed=seed)
    name = Path(source).name if isinstance(source, str | Path) else "AnnData in memory"
    sections = [evidence_section(evidence)]
    page = render(named, title=data_name or name, command=command, seed=seed, sections=sections)
    with atomic_output(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def check_report(output: str | Path, source: str | Path | None = None, sample_column: str | None = None) -> None:
    """Refuse what could not be written, before hours of work rather than after.

    Args:
        output: the .html file.
        source: h5ad or zarr file with the cells.
        sample_column: column that its obs has to have.

    Raises:
        FileNotFoundError: the folder of the output, or the source, does not exist.
        ValueError: the file is not called .html, there is no such column, or plotly is missing.
    """
    check_page_place(output)
    if source is not None and sample_column is not None:
        check_sample_column(source, sample_column)
    _plotly_js()


def render(
    named: NamedData,
    *,
    title: str,
    command: Sequence[str] | None = None,
    seed: int = 0,
    sections: Sequence[str] = (),
) -> str:
    """Return the page as text; see `write_report`. `sections` are further ones, as HTML, which follow the clusters."""
    from jinja2 import Environment, PackageLoader, select_autoescape
    from markupsafe import Markup

    labels = np.asarray(named.labels.astype(str))
    styles = styles_of(by_frequency(labels))
    maps = cell_maps(named, styles)
    figures = {f"map-{name}": figure for name, (_, figure) in maps.items()}
    figures["histogram"] = confidence_histogram(named.confidence, threshold=named.settings.get("unknown_below"))
    n_samples = 0
    if named.samples is not None:
        counts = counts_by_sample(named.samples, named.labels)
        n_samples = len(counts)
        figures["composition"] = composition(counts.loc[:, by_frequency(labels)], styles)
    environment = Environment(
        loader=PackageLoader("langcell.reporting", "."), autoescape=select_autoescape(default=True), trim_blocks=True
    )
    settings = named.settings
    return environment.get_template("page.html.jinja").render(
        title=title,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        named=named,
        maps={name: title for name, (title, _) in maps.items()},
        rows=label_rows(named, styles),
        unused=[name for name in settings["labels"] if name not in set(labels)],
        n_samples=n_samples,
        most_samples=MOST_SAMPLES,
        clusters=cluster_rows(named),
        methods=methods_paragraph(named),
        citation=CITATION,
        confidence_means=confidence_sentence(settings),
        n_unknown=int((labels == "unknown").sum()),
        sections=[Markup(section) for section in sections],
        fits_none=novelty_sentence(settings, named.n_cells),
        n_fitted=MOST_FITTED if len(named.drawn) > MOST_FITTED and not named.has_own_map else None,
        n_unassigned=int((labels == "unassigned").sum()),
        seed=seed,
        settings={text: settings[key] for key, text in _SETTINGS.items() if settings.get(key) not in (None, "")},
        versions={"python": sys.version.split()[0], **{name: version(name) for name in _LIBRARIES}},
        command=shlex.join(command) if command else command_of(settings),
        labels_file=_data_uri(labels_file(settings)),
        plotly_js=Markup(_plotly_js()),
        payload=Markup(_script_json({**_hover_data(named), "figures": {k: _plain(v) for k, v in figures.items()}})),
    )


def cell_maps(named: NamedData, styles: dict[str, Style], *, hover: bool = False) -> dict[str, tuple[str, Any]]:
    """Return the maps that there are data for: short name -> what it is coloured by, and the figure."""
    drawn = named.drawn
    maps = {"by-label": ("cell type", label_map(drawn, styles, hover=hover))}
    if drawn.alone is not None:
        missing = [name for name in by_frequency(drawn.alone) if name not in styles]
        alone = styles_of([*styles, *missing])
        maps["by-alone"] = ("each cell by itself", group_map(drawn, drawn.alone, alone, hover=hover))
    confidence = value_map(drawn, drawn.confidence, title="confidence", hover=hover)
    maps["by-confidence"] = ("confidence", confidence)
    if drawn.novelty is not None:
        options = {"title": "novelty", "colours": NOVELTY_COLOURS, "limits": (0.0, 1.0)}
        maps["by-novelty"] = ("novelty", value_map(drawn, drawn.novelty, hover=hover, **options))
    if drawn.clusters is not None:
        maps["by-cluster"] = ("cluster", group_map(drawn, drawn.clusters, hover=hover))
    return maps


def cluster_rows(named: NamedData) -> list[dict[str, Any]]:
    """Return the rows of the table of clusters, numbers by their size: 2 before 10."""
    rows = [] if named.clusters is None else named.clusters.to_dict("records")
    return sorted(rows, key=lambda row: (not str(row["cluster"]).isdecimal(), len(str(row["cluster"])), row["cluster"]))


def label_rows(named: NamedData, styles: dict[str, Style]) -> list[dict[str, Any]]:
    """Return the rows of the table of labels, the most frequent first; labels without cells are left out."""
    table = pd.DataFrame({"label": np.asarray(named.labels.astype(str)), "confidence": named.confidence})
    groups = table.groupby("label")["confidence"].agg(["size", "mean"])
    plain, term_ids = set(named.without_definition), named.term_ids
    return [
        {
            "label": name,
            "colour": styles[name].colour,
            "term_id": term_ids.get(name, ""),
            "cells": int(groups.loc[name, "size"]),  # pyright: ignore[reportArgumentType]
            "share": float(groups.loc[name, "size"]) / named.n_cells,  # pyright: ignore[reportArgumentType]
            "confidence": float(groups.loc[name, "mean"]),  # pyright: ignore[reportArgumentType]
            "is_plain": name in plain,
        }
        for name in by_frequency(table["label"].to_numpy())
    ]


def command_of(settings: dict[str, Any]) -> str:
    """Return the command that does the same again, told from uns["langcell"]; the data and the output are the user's.

    >>> command_of({"model_id": "langcell-mini", "alpha": 0.1})
    'langcell annotate INPUT.h5ad -o NAMED.h5ad --labels-file labels.tsv --model langcell-mini --alpha 0.1'
    """
    model, _, adapter = str(settings.get("model_id", "")).partition("+")
    options = {
        "--model": model,
        "--adapter": adapter,
        "--alpha": settings.get("alpha"),
        "--rerank": settings.get("rerank"),
        "--k": settings.get("k"),
        "--unknown": "auto" if "unknown_above_novelty" in settings else settings.get("unknown_below"),
        "--smooth": settings.get("smooth"),
        "--smooth-over": settings.get("smooth_over"),
        "--ontology-backoff": settings.get("ontology_backoff"),
        "--refine-over": settings.get("refine_over"),
        "--batch-column": settings.get("batch_column"),
        "--batch-correction": settings.get("batch_correction"),
        "--known-column": settings.get("known_column"),
        "--cluster-column": settings.get("cluster_column"),
        "--dtype": settings.get("dtype"),
        "--x-is": None if settings.get("x_is") == "counts" else settings.get("x_is"),
    }
    words = ["langcell", "annotate", "INPUT.h5ad", "-o", "NAMED.h5ad", "--labels-file", "labels.tsv"]
    words += [str(word) for pair in options.items() if pair[1] not in (None, "") for word in pair]
    return shlex.join(words)


def labels_file(settings: dict[str, Any]) -> str:
    """Return the candidate labels with their texts, as `--labels-file` reads them."""
    texts = settings.get("label_texts", settings["labels"])
    lines = [f"{name}\t{' '.join(str(text).split())}" for name, text in zip(settings["labels"], texts, strict=True)]
    return "\n".join(["label\ttext", *lines, ""])


def _hover_data(named: NamedData) -> dict[str, Any]:
    """Return what stands beside the pointer, once for all maps and far smaller than its texts."""
    drawn, labels = named.drawn, list(named.settings["labels"])
    code_of = {name: code for code, name in enumerate(labels)} | {"": -1}
    codes = np.array([[code_of[name] for name in row] for row in drawn.top_labels.tolist()], dtype="<i2")
    scores = np.nan_to_num(drawn.top_scores)
    return {
        "names": list(drawn.names),
        "labels": labels,
        "spans": [[name, span.stop] for name, span in drawn.spans.items()],
        "confidence": _numbers(drawn.confidence),
        "novelty": None if drawn.novelty is None else _numbers(drawn.novelty),
        "alone": None if drawn.alone is None else drawn.alone.tolist(),
        "clusters": None if drawn.clusters is None else drawn.clusters.tolist(),
        "codes": base64.b64encode(codes.tobytes()).decode(),
        "scores": _numbers(scores),
    }


def _numbers(values: np.ndarray) -> str:
    """float32 values as base64."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _plain(figure: Any) -> dict[str, Any]:
    return json.loads(figure.to_json())


def _script_json(value: Any) -> str:
    """JSON that can stand inside <script>, whatever names it holds."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace("\u2028", "\\u2028")


def _data_uri(text: str) -> str:
    return f"data:text/tab-separated-values;base64,{base64.b64encode(text.encode()).decode()}"


def _plotly_js() -> str:
    try:
        import plotly
    except ModuleNotFoundError as error:
        raise ValueError('A report needs plotly; install it with: pip install "langcell[app]"') from error
    return files(plotly).joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
