"""The texts that simulated cells are described by: what an ontology says of a type, and what people write."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from langcell.processing.ontology.descriptions import describe_term, text_forms
from langcell.processing.ontology.name_variants import clean_name_variant, name_variants
from langcell.processing.ontology.terms import Ontology, Term
from langcell.processing.shards.writer import Description
from langcell.processing.simulation.cell_profiles import CellProfiles

TEXT_SHARES: Mapping[str, float] = MappingProxyType(
    {"full": 0.35, "ontology": 0.25, "written": 0.25, "own": 0.05, "narrower": 0.1}
)
"""How often a cell is described by each kind of text.

full: name and definition of the type; ontology: its name, synonyms and definition, also with the tissue; written: the
name as people write it, with and without "cell type: "; own: what the study itself calls the cells of the profile;
narrower: a type below it that no profile is closer to, so that the words of 2,700 types are heard and not of 200 only.
"""


@dataclass(frozen=True, eq=False)
class ProfileTexts:
    """The texts that a cell of each profile may be given.

    Attributes:
        descriptions: All texts, each once; a position is a description id.
        ids: For each profile the description ids to choose from.
        weights: For each profile their probabilities.
    """

    descriptions: list[Description]
    ids: list[np.ndarray]
    weights: list[np.ndarray]

    def choose(self, profile: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a description id for each cell, int32; `profile` is the row of the profiles it was drawn from."""
        chosen = np.empty(len(profile), dtype=np.int32)
        for row in np.unique(profile):
            cells = np.flatnonzero(profile == row)
            chosen[cells] = rng.choice(self.ids[row], size=len(cells), p=self.weights[row])
        return chosen


def profile_texts(
    profiles: CellProfiles, ontology: Ontology, *, shares: Mapping[str, float] = TEXT_SHARES
) -> ProfileTexts:
    """Collect the texts of all profiles.

    A text that two types share (a common synonym) describes neither and is left out.

    Args:
        profiles: Profiles whose obs has `cl_id` and, where known, `uberon_id` and `label_original`.
        ontology: Where the terms are looked up.
        shares: Weight of each kind of `TEXT_SHARES`; within a kind all texts are equally likely. Where a profile has
            no text of a kind, the others take its share.

    Raises:
        ValueError: A kind is unknown, a weight is negative or "full" has none, or an id is unknown.
    """
    if unknown := set(shares) - set(TEXT_SHARES):
        raise ValueError(f"Unknown kind of text {min(unknown)!r}. Legal ones: {', '.join(TEXT_SHARES)}.")
    if min(shares.values()) < 0 or shares.get("full", 0) <= 0:
        raise ValueError(f"The shares of texts are {dict(shares)}; none may be negative, and 'full' has to be above 0.")
    candidates = list(_candidates(profiles, ontology))
    types_of_text: dict[str, set[str]] = defaultdict(set)
    for kinds in candidates:
        for description in (description for texts in kinds.values() for description in texts):
            types_of_text[description.text].add(description.cell_type_ontology_term_id)
    number: dict[str, int] = {}
    descriptions: list[Description] = []
    ids, weights = [], []
    for kinds in candidates:
        own: dict[int, float] = defaultdict(float)
        for kind, texts in kinds.items():
            usable = [text for text in texts if kind == "full" or len(types_of_text[text.text]) == 1]
            for description in usable if shares.get(kind, 0) else ():
                if description.text not in number:
                    number[description.text] = len(descriptions)
                    descriptions.append(description)
                own[number[description.text]] += shares[kind] / len(usable)
        ids.append(np.array(list(own), dtype=np.int32))
        weights.append(np.array(list(own.values())) / sum(own.values()))
    return ProfileTexts(descriptions, ids, weights)


def tissue_ids(profiles: CellProfiles) -> np.ndarray:
    """Return Uberon id of each profile, "" where it is not known."""
    if "uberon_id" not in profiles.obs:
        return np.full(len(profiles), "", dtype=object)
    return profiles.obs["uberon_id"].to_numpy(dtype=object)


def _candidates(profiles: CellProfiles, ontology: Ontology) -> Iterator[dict[str, list[Description]]]:
    """Yield the texts of each profile by kind; those that depend on the type alone are made once for each type."""
    cl_ids = profiles.obs["cl_id"].to_numpy(dtype=str)
    labels = profiles.obs.get("label_original")
    narrower = _narrower_types(set(cl_ids), ontology)
    of_type = {cl_id: _texts_of_type(ontology, cl_id, narrower[cl_id]) for cl_id in np.unique(cl_ids)}
    for row, (cl_id, tissue_id) in enumerate(zip(cl_ids, tissue_ids(profiles), strict=True)):
        kinds = dict(of_type[cl_id])
        if tissue_id:
            term = ontology.term(cl_id)
            with_tissue = set(text_forms(term, tissue=ontology.term(tissue_id))) - set(text_forms(term))
            kinds["ontology"] = kinds["ontology"] + [
                Description(text, cl_id, tissue_id, "with tissue") for text in sorted(with_tissue)
            ]
        if labels is not None:
            kinds["own"] = list(_as_written([clean_name_variant(str(labels.iloc[row]))], cl_id, "written"))
        yield kinds


def _texts_of_type(ontology: Ontology, cl_id: str, narrower: Iterable[str]) -> dict[str, list[Description]]:
    term = ontology.term(cl_id)
    full = describe_term("cell type", term)
    form_of = {describe_term("cell type", term, form="name"): "name"}
    if term.definition:
        form_of[describe_term("cell type", term, form="definition")] = "definition"
    others = [text for text in text_forms(term) if text != full]
    names = dict.fromkeys(_names_as_written(term))
    below = [ontology.term(other) for other in sorted(narrower)]
    return {
        "full": [Description(full, cl_id, "", "full")],
        "ontology": [Description(text, cl_id, "", form_of.get(text, "synonym")) for text in others],
        "written": list(_as_written(names, cl_id, "written")),
        "narrower": [
            text
            for other in below
            for text in (
                Description(describe_term("cell type", other), cl_id, "", "narrower"),
                *_as_written(_names_as_written(other), cl_id, "narrower"),
            )
        ],
    }


def _names_as_written(term: Term) -> Iterator[str]:
    for name in (term.name, *term.synonyms):
        yield name.lower()
        yield from name_variants(name)


def _as_written(names: Iterable[str], cl_id: str, form: str) -> Iterator[Description]:
    """Yield each name alone, and as a label that the ontology does not know is described."""
    for name in dict.fromkeys(names):
        yield Description(name, cl_id, "", form)
        yield Description(describe_term("cell type", name), cl_id, "", form)


def _narrower_types(types: set[str], ontology: Ontology) -> dict[str, set[str]]:
    """For each type those below it, as far as no other of the types lies between."""
    below = {cl_id: ontology.descendants(cl_id) for cl_id in types}
    return {cl_id: own - types - set().union(*(below[other] for other in types & own)) for cl_id, own in below.items()}
