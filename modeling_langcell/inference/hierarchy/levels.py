"""Broad, medium and fine names of an answer, as users of Azimuth know them.

- fine: the most probable type at or below the answer that has no candidate below it.
- medium: the first of the `MEDIUM` classes that is the answer or lies above it, such as "T cell" or "monocyte".
- broad: the first of the `BROAD` classes likewise, such as "leukocyte" or "epithelial cell".

Both lists are of Cell Ontology terms, in the order in which they are tried. An answer that lies in no class, or above
all of them, is its own class: "lymphocyte" is a lymphocyte on the medium level, too.
"""

from collections.abc import Sequence

from langcell.processing.ontology.terms import Ontology

BROAD = (
    "CL:0000738",  # leukocyte
    "CL:0000988",  # hematopoietic cell
    "CL:0000115",  # endothelial cell
    "CL:0000540",  # neuron
    "CL:0000125",  # glial cell
    "CL:0000187",  # muscle cell
    "CL:0000669",  # pericyte
    "CL:0000066",  # epithelial cell
    "CL:0002320",  # connective tissue cell
    "CL:0000499",  # stromal cell
    "CL:0000586",  # germ cell
)
MEDIUM = (
    "CL:0000084",  # T cell
    "CL:0000623",  # natural killer cell
    "CL:0001065",  # innate lymphoid cell
    "CL:0000946",  # antibody secreting cell
    "CL:0000236",  # B cell
    "CL:0000451",  # dendritic cell
    "CL:0000576",  # monocyte
    "CL:0000235",  # macrophage
    "CL:0000097",  # mast cell
    "CL:0000094",  # granulocyte
    "CL:0000233",  # platelet
    "CL:0000556",  # megakaryocyte
    "CL:0000764",  # erythroid lineage cell
    "CL:0008001",  # hematopoietic precursor cell
    "CL:0000057",  # fibroblast
    "CL:0000669",  # pericyte
    "CL:0000192",  # smooth muscle cell
    "CL:0000746",  # cardiac muscle cell
    "CL:0000188",  # cell of skeletal muscle
    "CL:0000127",  # astrocyte
    "CL:0000128",  # oligodendrocyte
    "CL:0000129",  # microglial cell
    "CL:0000679",  # glutamatergic neuron
    "CL:0000617",  # GABAergic neuron
    "CL:0008024",  # pancreatic endocrine cell
    "CL:0000164",  # enteroendocrine cell
    "CL:0000182",  # hepatocyte
    "CL:0000160",  # goblet cell
    "CL:0000584",  # enterocyte
    "CL:0000067",  # ciliated epithelial cell
    "CL:0000076",  # squamous epithelial cell
    "CL:0002563",  # intestinal epithelial cell
    "CL:0000115",  # endothelial cell
)


def class_names(names: Sequence[str], term_ids: Sequence[str], classes: Sequence[str], ontology: Ontology) -> list[str]:
    """Return the class of each name; the name itself where there is none.

    Args:
        names: what cells can be called.
        term_ids: ontology id of each name, "" where it has none.
        classes: ontology ids, in the order in which they are tried.
        ontology: where terms are.

    >>> class_names(["naive B cell", "mine"], ["CL:0000788", ""], MEDIUM, Ontology.cellxgene())
    ['B cell', 'mine']
    """
    found = []
    for name, term_id in zip(names, term_ids, strict=True):
        above = ontology.ancestors(term_id) | {term_id} if term_id and term_id in ontology else set()
        chosen = next((term for term in classes if term in above), None)
        found.append(ontology.term(chosen).name if chosen and chosen != term_id else name)
    return found
