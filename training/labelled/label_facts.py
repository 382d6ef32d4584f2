"""What is known of the labels of a file: the ontology ids beside them, and the term that each is read as."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from langcell.processing.labels.resolve import Label
from langcell.processing.ontology.terms import Ontology, looks_like_id
from langcell.processing.ontology.unknown_values import says_nothing

LABEL_IDS_COLUMNS = ("cell_type_ontology_term_id", "cell_ontology_id", "cl_id")


def ids_beside(obs: pd.DataFrame, label_column: str) -> str | None:
    """Return the first column that gives each type one ontology id and each id one type; None where there is none.

    Args:
        obs: columns of the cells.
        label_column: the one with the types.

    >>> obs = pd.DataFrame({"type": ["B", "T", None], "cl_id": ["CL:0000236", "CL:0000084", None]})
    >>> ids_beside(obs, "type")
    'cl_id'
    """
    for name in dict.fromkeys((f"{label_column}_ontology_term_id", *LABEL_IDS_COLUMNS)):
        if name == label_column or not {label_column, name} <= set(obs.columns):
            continue
        pairs: Any = obs[[label_column, name]].dropna().astype(str).drop_duplicates()
        pairs = pairs[[not (says_nothing(label) or says_nothing(term_id)) for label, term_id in pairs.to_numpy()]]
        one_to_one = not (pairs.duplicated([label_column]).any() or pairs.duplicated([name]).any())
        if len(pairs) > 1 and one_to_one and all(map(looks_like_id, pairs[name])):
            return name
    return None


def label_facts(labels: Sequence[Label], support: Sequence[int]) -> list[dict[str, Any]]:
    """Return what the JSON says of each label: name, text, ontology_term_id, term (its name), match, remark,
    support."""
    ontology = Ontology.cellxgene()
    return [
        {
            "name": label.name,
            "text": label.text,
            "ontology_term_id": label.ontology_term_id,
            "term": _term_name(label.ontology_term_id, ontology),
            "match": label.match,
            "remark": label.remark,
            "support": int(cells),
        }
        for label, cells in zip(labels, support, strict=True)
    ]


def _term_name(term_id: str | None, ontology: Ontology) -> str | None:
    return ontology.term(term_id).name if term_id is not None and term_id in ontology else None
