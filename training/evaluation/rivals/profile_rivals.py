"""What mean expression profiles say of the cells of an evaluation, by three methods beside the model."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from langcell.training.evaluation.inputs.cells_in_memory import source_options
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.inputs.fingerprints import digest_of_data
from langcell.training.evaluation.rivals.linear_rivals import CELLS_PER_TYPE, N_MARKERS, LinearRivals
from langcell.training.evaluation.rivals.nearest_profile import name_by_nearest_profile
from langcell.training.evaluation.rivals.profile_genes import read_profiles
from langcell.training.labelled.labelled_cells import LabelledCells

NEAREST = "nearest profile"
MARKERS = "marker genes of the profiles"
REGRESSION = "logistic regression on simulated cells"


class Rival(NamedTuple):
    """A method beside the model.

    Attributes:
        facts: what the JSON says of it besides its measures.
        scores: scores of the labelled cells, shape (cells, types); NaN for a type of which it knows nothing, and in all
            columns for a cell that it cannot name.
    """

    facts: dict[str, Any]
    scores: np.ndarray


def profile_rivals(context: EvaluationContext, labelled: LabelledCells, path: str | Path) -> dict[str, Rival]:
    """Return the rivals by name.

    Args:
        context: the data.
        labelled: truth and candidate types.
        path: h5ad file of mean expression profiles.

    Raises:
        ValueError: see `read_profiles` and `name_by_nearest_profile`.
    """
    others = [None] * (len(labelled.labels) - len(labelled.candidates))
    type_ids = [label.ontology_term_id for label in labelled.candidates] + others
    source, reading = context.source
    options: dict[str, Any] = {"cells": labelled.has_label, **source_options(reading)}
    profiles = read_profiles(path)
    nearest = name_by_nearest_profile(source, profiles, type_ids, **options)
    lacking = set(nearest.types_without_profile)
    facts = {
        "profiles_file": Path(path).name,
        "profiles_sha256": digest_of_data(path),
        "shared_genes": nearest.n_shared_genes,
        "genes_read": len(nearest.genes),
        "types_without_profile": [
            label.name for label in labelled.candidates if (label.ontology_term_id or "no id") in lacking
        ],
    }
    linear = LinearRivals(source, profiles, type_ids, genes=nearest.genes, **options)
    return {
        NEAREST: Rival(facts, nearest.likeness),
        MARKERS: Rival(facts | {"markers_per_type": N_MARKERS}, linear.marker_scores()),
        REGRESSION: Rival(
            facts | {"simulated_cells_per_type": CELLS_PER_TYPE}, linear.regression_scores(seed=context.seed)
        ),
    }
