"""What a term at the root of a branch covers, in a line, and a better one where it covers next to nothing."""

from collections.abc import Iterable

from langcell.processing.labels.lookup import term_at
from langcell.processing.ontology.terms import Ontology

_SHOWN = 8
# A term above that covers so many times the types is what people mean by the name of the one below ...
_MUCH_MORE = 3
# ... unless it covers more than this share of all types: that is no branch.
_LARGEST_SHARE = 0.5


def root_note(root: str, *, among: Iterable[str], ontology: Ontology) -> str:
    """Say how many types a root covers, and which; where a term above covers many more, name it.

    The Cell Ontology's "blood cell" has granulocytes, red cells and platelets below it, but no lymphocyte: these are
    below "hematopoietic cell".

    Args:
        root: id or name of the root.
        among: ontology ids of the types to choose from.
        ontology: where the terms below and above are looked up.
    """
    top = term_at(root, ontology)
    types = {ontology.current(term_id).id for term_id in among if term_id in ontology}
    covered = _covered(top.id, types, ontology)
    names = sorted(ontology.term(term_id).name for term_id in covered)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    note = f"{top.name} ({top.id}) covers {len(covered)} of {len(types)} types: {', '.join(names[:_SHOWN])}{more}"
    above = {term_id: len(_covered(term_id, types, ontology)) for term_id in ontology.ancestors(top.id)}
    larger = [
        (number, term_id)
        for term_id, number in above.items()
        if max(1, _MUCH_MORE * len(covered)) <= number <= _LARGEST_SHARE * len(types)
    ]
    if not larger:
        return note
    number, term_id = min(larger)
    term = ontology.term(term_id)
    return f"{note}. Others are named as one of these; {term.name} ({term.id}) covers {number}"


def _covered(term_id: str, types: set[str], ontology: Ontology) -> set[str]:
    return types & (ontology.descendants(term_id) | {term_id})
