"""`langcell evaluate disease`: subtypes of a disease by text, named as types are in `zero-shot`.

The labels may be values of any column of obs. Their texts come from a labels file, else from ontology ids, else from
the MONDO term of that name, else they are `disease: <value>; `.
"""

from collections.abc import Sequence

from langcell.processing.labels.resolve import Label, resolve_labels
from langcell.processing.labels.several import SEVERAL, describe_several, parts_of
from langcell.processing.ontology.descriptions import describe_term
from langcell.processing.ontology.terms import Ontology
from langcell.scoring_langcell import check_alpha
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.metrics.uncertainty import BOOTSTRAP_DRAWS
from langcell.training.evaluation.options import check_repeats
from langcell.training.evaluation.reports.plots import draw_confusion, draw_per_type
from langcell.training.evaluation.reports.report import TaskResult
from langcell.training.evaluation.tasks.naming import draw_cells_and_texts, naming_sections
from langcell.training.evaluation.tasks.zero_shot import name_and_measure

TASK = "disease"


def run(context: EvaluationContext, *, alpha: float | None = None, repeats: int = BOOTSTRAP_DRAWS) -> TaskResult:
    """Name the disease, or its subtype, of each cell by text alone; measures and baselines are those of `zero-shot`.

    Args:
        context: data and model; its label column is the one with the diseases.
        alpha: weight of the similarity; the model's own when None.
        repeats: draws of the cells behind each standard deviation.

    Raises:
        ValueError: unusable data, labels, model or options.
    """
    check_repeats(repeats)
    if alpha is not None:
        check_alpha(alpha)
    labelled = context.read_labels(resolve=resolve_diseases, searched="MONDO")
    report = name_and_measure(context, labelled, task=TASK, alpha=alpha, rivals={}, repeats=repeats)
    figures = {
        "confusion": draw_confusion(report),
        "per-type": draw_per_type(report),
        "embeddings": draw_cells_and_texts(context, labelled),
    }
    return TaskResult(report, naming_sections(report), figures)


def resolve_diseases(names: Sequence[str], *, ontology: Ontology | None = None) -> list[Label]:
    """Return the labels for names of diseases: the MONDO term where one has that name or synonym, else the name as it
    is.

    Raises:
        ValueError: see `resolve_labels`.

    >>> for label in resolve_diseases(["lung adenocarcinoma", "H1975"]):
    ...     print(label.name, label.ontology_term_id, label.text[:32].strip(), sep=" | ")
    lung adenocarcinoma | MONDO:0005061 | disease: lung adenocarcinoma. a
    H1975 | None | disease: h1975;
    """
    ontology = ontology or Ontology.cellxgene()
    return resolve_labels([_disease(name, ontology) for name in names])


def _disease(name: str, ontology: Ontology) -> Label:
    parts = parts_of(name) if SEVERAL.strip() in name else [name]
    found = [ontology.find(part, prefix="MONDO") for part in parts]
    terms = [read[0] for read in found if read]
    if len(terms) < max(len(parts), 1):
        return Label(name, "".join(describe_term("disease", part) for part in parts or [name]))
    if len(terms) > 1:
        return Label(name, describe_several(terms)[1], None, "name")
    return Label(name, describe_term("disease", terms[0]), terms[0].id, found[0][1] if found[0] else None)
