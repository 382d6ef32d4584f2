"""`langcell.explain`: the genes that speak for and against labels, between two labels, or of one cell."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langcell.inference.evidence.explanation import Explanation
from langcell.inference.evidence.file_evidence import FileEvidence
from langcell.inference.evidence.groups import CellGroups, stored_term_ids, term_id_of
from langcell.inference.evidence.occlusion import CellExplanation, explain_cell
from langcell.inference.evidence.options import EvidenceOptions
from langcell.inference.evidence.origins import origins_of
from langcell.inference.running.job import InferenceJob
from langcell.inference.running.options import ReadingOptions
from langcell.loading.options import AdaptedModelOptions
from langcell.processing.cells.anndata_io import CellSource, open_cells
from langcell.processing.cells.embedding_store import read_settings
from langcell.processing.ontology.terms import Ontology
from langcell.processing.options import from_keywords, takes

__all__ = ["CellExplanation", "Explanation", "explain"]


@takes(EvidenceOptions, AdaptedModelOptions, ReadingOptions)
def explain(adata: Any, **options: Any) -> Explanation | CellExplanation:
    """Say which genes speak for the labels of a file and which against them; the file is not changed.

    A supporting gene is high in the cells of the label against the rest of the file, and high in the reference profiles
    of the type against other types. A conflicting gene is high in the cells, low in the profiles of their type, and
    high in those of another, which it then speaks for. The same file gives the same evidence. Cells are read in chunks.

    Args:
        adata: an AnnData, or the path of a container of cells, with raw counts and a column of labels.
        {options}

    Returns:
        An `Explanation` with `frame()`, `record()` (for JSON) and `plot(path)`; with `cell` a `CellExplanation`.

    Raises:
        ValueError: no such column, label, cluster, cell or marker list, or unusable cells or model.
        TypeError: an option that does not exist.
    """
    groups = (EvidenceOptions, AdaptedModelOptions, ReadingOptions)
    asked, model, reading = from_keywords(options, *groups, function="explain")
    job = InferenceJob.of(adata, None, model, reading)
    job.check_model()
    settings = read_settings(adata)
    with open_cells(adata, **reading.source) as source:
        if asked.cell is not None:
            return explain_cell(job, source, asked, settings)
        return _explain_groups(job, source, asked, settings)


def _explain_groups(
    job: InferenceJob, source: CellSource, asked: EvidenceOptions, settings: Mapping[str, Any]
) -> Explanation:
    ontology = Ontology.cellxgene()
    labels, clusters = _read_groups(source, asked, settings)
    if clusters is not None:
        groups, wanted = clusters, asked.cluster or asked.label
        called = clusters.called(labels) if labels is not None else [""] * len(clusters.names)
    else:
        assert labels is not None
        groups, wanted, called = labels, asked.label, labels.names
    chosen = range(len(groups.names)) if wanted is None else [groups.place_of(wanted, ontology)]
    known = stored_term_ids(settings)
    terms = {label: known.get(label) or term_id_of(label, ontology) for label in called if label}
    loaded, _ = job.load()
    reading = {"markers": asked.markers, "top": asked.top, "rows": job.options.rows_per_chunk}
    file = FileEvidence(source, loaded, groups, terms, **reading)
    found = tuple(file.of(place, called[place]) for place in chosen)
    if clusters is not None:
        origins = origins_of(clusters, labels, settings)
        found = tuple(replace(group, origin=origins[place]) for place, group in zip(chosen, found, strict=True))
    comparison = None if asked.against is None else file.compared(chosen[0], called, asked.against)
    return Explanation(groups.column, found, comparison, file.moments, groups.names, file.symbols)


def _read_groups(
    source: CellSource, asked: EvidenceOptions, settings: Mapping[str, Any]
) -> tuple[CellGroups | None, CellGroups | None]:
    """Return the cells by label and by cluster; clusters where these are asked for."""
    column = asked.cluster_column
    if asked.cluster is not None and column is None:
        column = settings.get("cluster_column") or "leiden"
        if column not in source.obs_columns:
            raise ValueError(
                f"cluster is {asked.cluster!r}, but the file does not say in which column; name it (--cluster-column)."
            )
    if column is None:
        if asked.label_column not in source.obs_columns:
            raise ValueError(
                f"obs has no column {asked.label_column!r}; it has {', '.join(source.obs_columns) or 'none'}. "
                "Name the cells first (langcell annotate), or name the column of labels (--label-column)."
            )
        return CellGroups.read(source, asked.label_column, what="label column"), None
    has_labels = asked.label_column in source.obs_columns
    labels = CellGroups.read(source, asked.label_column, what="label column") if has_labels else None
    return labels, CellGroups.read(source, str(column), what="cluster column")
