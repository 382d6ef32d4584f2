"""Labels on one line, split at commas, though names of cell types have commas themselves."""

from langcell.processing.labels.lookup import find_term
from langcell.processing.labels.syntax import split_fields
from langcell.processing.ontology.terms import Ontology

# Bounds what `split_labels` tries to join; names and synonyms in the bundled Cell Ontology have at most 4.
_MAX_COMMAS = 8


def split_labels(text: str, *, ontology: Ontology | None = None) -> list[str]:
    """Split labels at commas, but not inside names that have commas themselves.

    A label in double quotes is taken as it stands. Of the other pieces, from the left, the longest run that makes the
    name or a synonym of a term is one label.

    Raises:
        ValueError: a quote that does not close, or an empty label.

    >>> split_labels('NK cell, CD4-positive, alpha-beta T cell, "B cell", CD19-positive')
    ['NK cell', 'CD4-positive, alpha-beta T cell', 'B cell', 'CD19-positive']
    """
    ontology = ontology or Ontology.cellxgene()
    fields = split_fields(text)
    labels = []
    while fields:
        unquoted = next((i for i, field in enumerate(fields) if field.quoted), len(fields))
        joined = [", ".join(field.text for field in fields[:n]) for n in range(1, min(unquoted, _MAX_COMMAS + 1) + 1)]
        known = (n for n in range(len(joined), 1, -1) if find_term(joined[n - 1], ontology))
        taken = next(known, 1)
        labels.append(joined[taken - 1] if joined else fields[0].text)
        fields = fields[taken:]
    return labels
