"""The cell types of a tissue, from the profiles that a model was trained on: candidates where nobody gave labels.

A model lists them as `tissue_cell_types` in its configuration. A part of an organ takes the types of the organ and of
its other parts: the colon those of the intestine. Solid tissues also take `IN_EVERY_TISSUE`, since blood and vessels
run through each of them, and a study need not have counted their cells.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from langcell.processing.ontology.terms import normalize_name

# T, B, natural killer, plasma and mast cell, monocyte, macrophage, dendritic cell, neutrophil, fibroblast,
# endothelial cell, pericyte, smooth muscle cell; CD4 and CD8 T cell.
IN_EVERY_TISSUE = (
    "CL:0000057",
    "CL:0000084",
    "CL:0000097",
    "CL:0000115",
    "CL:0000192",
    "CL:0000235",
    "CL:0000236",
    "CL:0000451",
    "CL:0000576",
    "CL:0000623",
    "CL:0000624",
    "CL:0000625",
    "CL:0000669",
    "CL:0000775",
    "CL:0000786",
)
FLUID = ("blood", "bone marrow", "spleen", "thymus")
# Organs whose parts were profiled apart.
_ORGANS = (("brain", "cerebellum", "telencephalon"), ("eye", "retina"), ("intestine", "colon", "ileum", "rectum"))
_SAME = {
    "pbmc": "blood",
    "peripheral blood": "blood",
    "airway": "respiratory airway",
    "bal": "bronchoalveolar lavage fluid",
    "bowel": "intestine",
    "colorectum": "intestine",
    "gut": "intestine",
    "small intestine": "intestine",
    "large intestine": "intestine",
    "marrow": "bone marrow",
    "muscle": "skeletal muscle tissue",
    "skeletal muscle": "skeletal muscle tissue",
    "nose": "nasal cavity",
    "prostate": "prostate gland",
    "skin": "skin of body",
    "cerebrum": "telencephalon",
    "oesophagus": "esophagus",
    "tumour": "tumor",
}


def types_of_tissue(tissue: str, tissues: Mapping[str, Sequence[str]]) -> tuple[str, list[str]]:
    """Return the tissue that a name means, and the ontology ids of its cell types, sorted.

    Args:
        tissue: such as blood, lung or pbmc.
        tissues: types by tissue.

    Raises:
        ValueError: an unknown tissue; the text names the nearest one and lists all.

    >>> types_of_tissue("PBMC", {"blood": ["CL:0000236", "CL:0000084"]})
    ('blood', ['CL:0000084', 'CL:0000236'])
    """
    wanted = normalize_name(tissue)
    name = wanted if wanted in tissues else _SAME.get(wanted, wanted)
    if name not in tissues:
        words = [*tissues, *(word for word, meant in _SAME.items() if meant in tissues)]
        near = difflib.get_close_matches(wanted, words, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"No tissue {tissue!r} is known{hint} Legal are {', '.join(sorted(tissues))}. Or give labels.")
    organ = next((parts for parts in _ORGANS if name in parts), (name,))
    types = {term for part in organ for term in tissues.get(part, ())}
    everywhere = () if name in FLUID else IN_EVERY_TISSUE
    return name, sorted(types | (set(everywhere) & _all_types(tissues)))


def tissues_of_type(tissues: Mapping[str, Sequence[str]], term_ids: Iterable[str | None]) -> list[int]:
    """Return the number of tissues that have each type, at least 1."""
    return [max(1, sum(term in types for types in tissues.values())) for term in term_ids]


def _all_types(tissues: Mapping[str, Sequence[str]]) -> set[str]:
    return {term for types in tissues.values() for term in types}
