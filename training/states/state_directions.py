"""Learn the directions of states that `reference_cells.npz` holds.

python -m langcell.training.states.state_directions hub_cards/langcell-mini --profiles cell_profiles.h5ad

For each state, cells are simulated from mean profiles as they are, and with the genes of the state raised
(`state_genes.tsv`, gene names that reviews of these states agree on). The direction is the mean difference of their
embeddings within a type and an experiment, so that it says nothing of types; its length is the same for all states.
Opposite words lie along such differences (Mikolov et al. 2013, NAACL), and so do perturbed cells (Lotfollahi et al.
2019, Nature Methods 16).
"""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from langcell.inference.running.batching import for_each_batch
from langcell.inference.scoring.reference import embed_batch
from langcell.loading.load import LoadedLangCell, load
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.ontology.terms import Ontology
from langcell.processing.rank_values import rank_encode
from langcell.processing.reference_cells import REFERENCE_FILE
from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.simulation.simulator import CellSimulator

STATE_GENES_FILE = "state_genes.tsv"
LENGTH = 0.2
"""Length of a direction, where the embedding of a text has 1; see EXPERIMENTS."""

_CELLS = 8000
_SHARE_ON = 0.75  # of the genes of a state that a profile raises
_MEDIAN_PER_10K = 6.0  # counts that a raised gene gains, per 10,000
_LOG_SPREAD_OF_STATE, _LOG_SPREAD_OF_GENE = 0.5, 0.8
_FOLD = 3.0  # of what a raised gene has already
_ONLY_UNDER = {"exhausted": "CL:0000084"}  # states of T cells alone
_TOKENS_PER_BATCH = 4096


def state_genes() -> dict[str, set[str]]:
    """Read the genes of each state, by symbol."""
    genes: dict[str, set[str]] = {}
    with files("langcell.training.states").joinpath(STATE_GENES_FILE).open(encoding="utf-8") as opened:
        for row in csv.DictReader(opened, delimiter="\t"):
            genes.setdefault(row["state"], set()).add(row["gene"])
    return genes


def fit_state_directions(
    loaded: LoadedLangCell,
    profiles: CellProfiles,
    *,
    genes: Mapping[str, set[str]],
    n_cells: int = _CELLS,
    seed: int = 0,
) -> np.ndarray:
    """Learn the direction of each state.

    Args:
        loaded: a model with reference cells.
        profiles: mean profiles, with gene symbols.
        genes: symbols of the genes that rise, by state.
        n_cells: simulated cells per state, about half of them with it.
        seed: random seed of the simulation.

    Returns:
        float32, shape (states, projection_dim), in the order of `genes`, rows of length `LENGTH`.

    Raises:
        ValueError: the profiles have no gene of a state, or the model has no reference cells.
    """
    if loaded.processor.feature_extractor.reference_cells is None:
        raise ValueError(f"{loaded.model_id} has no reference cells, beside which states are kept.")
    directions = []
    for place, (state, symbols) in enumerate(genes.items()):
        under = _profiles_under(profiles, _ONLY_UNDER.get(state))
        rng = np.random.default_rng([seed, place])
        raised = in_state(under, symbols, state=state, rng=rng)
        difference = _mean_difference(loaded, under, raised, n_cells=n_cells, seed=[seed, place])
        directions.append(LENGTH * difference / np.linalg.norm(difference))
    return np.array(directions, dtype=np.float32)


def in_state(profiles: CellProfiles, genes: set[str], *, state: str, rng: np.random.Generator) -> CellProfiles:
    """Return the profiles with most genes of a state raised, each gene and each profile by another amount.

    Raises:
        ValueError: the profiles have none of the genes.
    """
    places = np.array([place for place, symbol in enumerate(profiles.symbols) if symbol in genes])
    if not places.size:
        raise ValueError(f"The profiles have none of the {len(genes)} genes of the state {state!r}.")
    shape = (len(profiles), len(places))
    strength = rng.lognormal(0, _LOG_SPREAD_OF_STATE, size=(shape[0], 1))
    gain = _MEDIAN_PER_10K / 10_000 * rng.lognormal(0, _LOG_SPREAD_OF_GENE, size=shape)
    fractions = profiles.fractions.copy()
    before = fractions[:, places]
    after = before * (1 + _FOLD * strength) + gain * strength
    fractions[:, places] = np.where(rng.random(shape) < _SHARE_ON, after, before)
    fractions /= fractions.sum(axis=1, keepdims=True)
    return replace(profiles, fractions=fractions)


def _profiles_under(profiles: CellProfiles, root: str | None) -> CellProfiles:
    if root is None:
        return profiles
    ontology = Ontology.cellxgene()
    below = ontology.descendants(root) | {root}
    kept = np.array([ontology.current(cl_id).id in below for cl_id in profiles.obs["cl_id"].astype(str)])
    return replace(profiles, fractions=profiles.fractions[kept], obs=profiles.obs[kept])


def _mean_difference(
    loaded: LoadedLangCell, plain: CellProfiles, raised: CellProfiles, *, n_cells: int, seed: Sequence[int]
) -> np.ndarray:
    """Return how far cells of one type and one experiment move with a state, in the embedding by the encoder.

    Both kinds of cells are drawn in the same experiments, whose technical effects are greater than those of a state.
    """
    both = replace(
        plain, fractions=np.concatenate([plain.fractions, raised.fractions]), obs=pd.concat([plain.obs, raised.obs])
    )
    cells = CellSimulator(both).draw(n_cells, np.random.default_rng(seed))
    extractor = loaded.processor.feature_extractor
    gene_index = extractor.vocabulary.match(both.gene_ids)
    ranked = rank_encode(cells.counts, gene_index, extractor.vocabulary, max_length=extractor.max_length)
    lists = [ranked[row] for row in range(len(ranked))]
    (embeds,) = for_each_batch(loaded, lists, _TOKENS_PER_BATCH, partial(embed_batch, loaded.encoders))
    embeds = embeds - _means_of(cells.experiment, embeds)
    has_state = cells.profile >= len(plain)
    _, type_of = np.unique(both.obs["cl_id"].to_numpy(dtype=str)[cells.profile], return_inverse=True)
    # Least squares with a mean for each type: the state explains what is left of it.
    left = has_state - _means_of(type_of, has_state[:, None].astype(np.float64))[:, 0]
    return left @ (embeds - _means_of(type_of, embeds)) / max(float(left @ left), 1e-12)


def _means_of(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return for each row the mean of its group, (rows, columns)."""
    n = int(group.max()) + 1
    members = sparse.csr_matrix((np.ones(len(group)), (group, np.arange(len(group)))), shape=(n, len(group)))
    return ((members @ values) / np.maximum(np.bincount(group, minlength=n), 1)[:, None])[group]


def store_state_directions(folder: Path, profiles: CellProfiles, *, seed: int = 0) -> list[str]:
    """Learn the directions for the model in a folder, and write them into its reference cells.

    Returns:
        The states; those of which the profiles have no gene are left out.

    Raises:
        ValueError: see `fit_state_directions`, or the folder holds no model.
    """
    loaded = load(folder, device="cpu")
    measured = set(profiles.symbols)
    genes = {state: symbols for state, symbols in state_genes().items() if symbols & measured}
    if not genes:
        return []
    directions = fit_state_directions(loaded, profiles, genes=genes, seed=seed)
    cells = loaded.processor.feature_extractor.reference_cells
    assert cells is not None
    with atomic_output(folder / REFERENCE_FILE) as temporary:
        cells.with_states(list(genes), directions).save(temporary)
    return list(genes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn the directions for a model folder and write them there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder whose reference_cells.npz gets the states")
    parser.add_argument("--profiles", type=Path, required=True, help="h5ad of mean profiles that cells are drawn from")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the simulation (default %(default)s)")
    options = parser.parse_args(arguments)
    try:
        states = store_state_directions(options.model, CellProfiles.read(options.profiles), seed=options.seed)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    left_out = [state for state in state_genes() if state not in states]
    print(f"States: {', '.join(states) or 'none'}; without a gene in the profiles: {', '.join(left_out) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
