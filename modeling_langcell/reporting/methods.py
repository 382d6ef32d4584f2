"""What was done, in sentences: for the methods of a paper, and one on what a confidence means."""

from typing import Any

from langcell.reporting.contents import NamedData

CITATION = (
    "Zhao S, Zhang J, Wu Y, Luo Y, Nie Z. LangCell: Language-Cell Pre-training for Cell Identity Understanding. "
    "Proceedings of the 41st International Conference on Machine Learning, 2024. arXiv:2405.06708."
)
PROBABILITY = "A confidence of 0.8 means: of ten cells with such a name, about eight have the right one."
SCORE = "The confidence is the score of the name. It ranks the labels of a cell and is no probability."


def confidence_sentence(settings: dict[str, Any]) -> str:
    """Say what a confidence means, told from uns["langcell"]."""
    return PROBABILITY if settings.get("confidence_is_probability") else SCORE


def novelty_sentence(settings: dict[str, Any], n_cells: int) -> str:
    """Say how many cells fit no label; empty where that was not measured.

    >>> novelty_sentence({"cells_that_fit_no_label": 3}, 1200)
    '3 of 1,200 cells fit none of these labels.'
    """
    count = settings.get("cells_that_fit_no_label")
    return "" if count is None else f"{int(count):,} of {n_cells:,} cells fit none of these labels."


def methods_paragraph(named: NamedData) -> str:
    """Say what was done, so that it can stand in a paper; the citation is `CITATION`."""
    settings = named.settings
    return " ".join(filter(None, [_cells(named), _texts(named), _refinement(settings), _rejection(settings),
                                  _clusters(settings), _map(named)]))  # fmt: skip


def _cells(named: NamedData) -> str:
    settings = named.settings
    known = ""
    if "gene_coverage" in settings:
        known = (
            f" The model knows {settings['gene_coverage']:.0%} of the genes, "
            f"which hold {settings['count_coverage']:.0%} of the counts."
        )
    revision = str(settings.get("model_revision", ""))[:12]
    return (
        f"{named.n_cells:,} cells were named with LangCell {settings.get('langcell_version', '')} "
        f"(Zhao et al., 2024; model {settings.get('model_id', '')}, revision {revision}), "
        f"which compares the expression of each cell with texts on cell types and needs no labelled cells.{known}"
    )


def _texts(named: NamedData) -> str:
    n_labels, n_terms = len(named.settings["labels"]), len(named.term_ids)
    described = "" if not n_terms else f"; {n_terms} of them were described by their definition in the Cell Ontology"
    return f"The candidates were {n_labels} cell types{described}."


def _refinement(settings: dict[str, Any]) -> str:
    if not settings.get("refined"):
        return "Each cell was named by itself."
    space = settings.get("refine_over")
    over = f"the matrix {space}" if space else "principal components of the log-normalised counts"
    moved = "corrected by Harmony for" if settings.get("batch_correction") == "harmony" else "centred per"
    batches = f", {moved} batch ({settings['batch_column']})" if settings.get("batch_column") else ""
    known = f" Labels of some cells were given ({settings['known_column']})." if settings.get("known_column") else ""
    changed = int(settings.get("refined_cells", 0))
    return (
        f"The names were then refined over the data set by a Gaussian mixture on {over}{batches}, with one component "
        f"per cell type that is held to the texts; this changed the names of {changed:,} cells.{known}"
    )


def _rejection(settings: dict[str, Any]) -> str:
    if settings.get("unknown_above_novelty") is not None:
        return f"Cells with a novelty above {settings['unknown_above_novelty']:g} were called unknown."
    if settings.get("unknown_below") is not None:
        return f"Cells with a confidence below {settings['unknown_below']:g} were called unknown."
    return ""


def _clusters(settings: dict[str, Any]) -> str:
    column = settings.get("cluster_column")
    return f"Each cluster ({column}) got the type with the greatest mean probability." if column else ""


def _map(named: NamedData) -> str:
    return "" if named.has_own_map else "The map is a UMAP of LangCell's embeddings of the cells."
