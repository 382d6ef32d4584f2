"""From a finished naming run to what the page shows of it."""

import logging
from collections.abc import Sequence
from pathlib import Path

from langcell.app.messages import Genes, NamedFile, Proposal
from langcell.inference.annotation import AnnotationSummary
from langcell.inference.evidence.explain import Explanation, explain
from langcell.inference.running.options import ReadingOptions
from langcell.loading.load import LoadedLangCell
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.labels.notes import label_notes
from langcell.processing.labels.resolve import Label
from langcell.processing.labels.suggest import suggestions
from langcell.processing.ontology.terms import Ontology
from langcell.reporting.contents import NamedData
from langcell.reporting.methods import confidence_sentence, novelty_sentence

logger = logging.getLogger("langcell")

# Usual names of a column of clusters, the likeliest first.
CLUSTER_COLUMNS = ("leiden", "louvain", "seurat_clusters", "clusters", "cluster", "graphclust", "Cluster")
_GENES = 6
_DID_YOU_MEAN = "Did you mean"


def named_file(
    summary: AnnotationSummary,
    labels: Sequence[Label],
    drawn: NamedData,
    files: dict[str, str],
    genes: dict[str, Genes],
    cluster_genes: dict[str, Genes],
    *,
    seconds: float,
) -> NamedFile:
    """Put together what the page shows.

    Args:
        summary: summary of the run.
        labels: the candidates.
        drawn: what is read from the output.
        files: what can be taken home.
        genes: that speak for and against each label.
        cluster_genes: that speak for and against the name of each cluster.
        seconds: that the run took.
    """
    n_cells, uns = drawn.n_cells, summary.uns
    rows = [(name, n, n / n_cells, summary.confidence_of[name]) for name, n in summary.cells_of.items()]
    return NamedFile(
        file=files["h5ad"],
        n_cells=n_cells,
        headline=f"Named {n_cells:,} cells by {len(labels)} cell types in {seconds:.1f} s.",
        table=rows,
        drawn=drawn.drawn,
        clusters=[] if drawn.clusters is None else drawn.clusters.to_dict("records"),
        cluster_column=str(uns.get("cluster_column", "")),
        warning=novelty_sentence(uns, n_cells) if uns.get("cells_that_fit_no_label") else "",
        notes=_notes(summary, labels, drawn),
        details=_details(summary, labels),
        genes=genes,
        cluster_genes=cluster_genes,
        proposals=_proposals(labels),
        files=files,
    )


def genes_of_groups(
    output: Path, model: LoadedLangCell, reading: ReadingOptions, *, cluster_column: str | None = None
) -> dict[str, Genes]:
    """Return the genes for and against each label, or each cluster, of an annotated file; none without counts.

    Args:
        output: the annotated file.
        model: model whose reference profiles say what genes a type has.
        reading: how the file is read.
        cluster_column: explain the clusters of this column in place of the labels.
    """
    how = {"x_is": reading.x_is, "gene_column": reading.gene_column, "layer": reading.layer}
    try:
        found = explain(output, model=model, top=_GENES, cluster_column=cluster_column, progress=False, **how)
    except ValueError as error:  # names are given without it, so that it must not stop them
        logger.info("No genes are shown: %s", error)
        return {}
    assert isinstance(found, Explanation)
    return {
        group.group: Genes(
            [gene.gene for gene in group.supporting],
            [(gene.gene, gene.speaks_for) for gene in group.strong_conflicts],
        )
        for group in found.groups
        if group.supporting or group.strong_conflicts
    }


def found_cluster_column(file: Path, reading: ReadingOptions) -> str | None:
    """Return the column of obs with clusters, by its name; None where there is none that groups cells.

    Raises:
        ValueError: the file cannot be read so.
    """
    with open_cells(file, **reading.source) as source:
        for name in CLUSTER_COLUMNS:
            if name in source.obs_columns:
                values = source.metadata([name], 0, source.n_cells)[name]
                if 0 < values.nunique() <= source.n_cells // 2:
                    return name
    return None


def _notes(summary: AnnotationSummary, labels: Sequence[Label], drawn: NamedData) -> list[str]:
    uns = summary.uns
    notes = [note for note in label_notes(labels) if not note.startswith((_DID_YOU_MEAN, "Read as terms"))]
    if (genes := uns["gene_coverage"]) < 0.5:
        notes.append(f"Only {genes:.0%} of the genes are known to the model; the names are less sure than they look.")
    if uns.get("refined"):
        changed = int(uns["refined_cells"])
        notes.append(
            f"Cells of one kind lie together: the other cells of the file changed the names of {changed:,} cells."
        )
    else:
        notes.append("Each cell was named by itself.")
    notes.append(confidence_sentence(uns))
    if len(drawn.drawn) < drawn.n_cells:
        notes.append(f"The map shows {len(drawn.drawn):,} of the cells, drawn at random.")
    return notes


def _details(summary: AnnotationSummary, labels: Sequence[Label]) -> list[str]:
    uns, evaluated = summary.uns, summary.uns["pairs_evaluated"]
    genes, counts = uns["gene_coverage"], uns["count_coverage"]
    return [
        *(note for note in label_notes(labels) if note.startswith("Read as terms")),
        f"The model knows {genes:.0%} of the genes, which hold {counts:.0%} of the counts.",
        *uns.get("reading_notes", []),
        f"Model {uns['model_id']}, revision {uns['model_revision']}, LangCell {uns['langcell_version']}, "
        f"{uns['dtype']}; {evaluated:,} of {summary.n_pairs:,} pairs of cell and label were read by the text encoder.",
    ]


def _proposals(labels: Sequence[Label]) -> list[Proposal]:
    offered = suggestions(labels, ontology=Ontology.cellxgene())
    return [Proposal(each.label, each.term.name or each.term.id, each.term.id) for each in offered]
