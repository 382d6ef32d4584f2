"""Add mean profiles to the reference cells of a trained folder: tissues that its training had few profiles of.

python training/more_reference.py hub_cards/langcell-mini extra_mean_profiles.h5ad --tissues lung

The weights stay as they are. What they know of the new reference cells, and the states (`training/states`), stand
beside them as before.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from langcell.inference.scoring.reference import known_reference
from langcell.inference.scoring.texts import embed_with
from langcell.loading.load import LoadedLangCell, load
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.ontology.terms import Ontology
from langcell.processing.rank_values import rank_encode
from langcell.processing.reference_cells import REFERENCE_FILE, ReferenceCells
from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.training.langcell_mini import REFERENCE_LEAST, REFERENCE_LENGTH


def more_reference_cells(loaded: LoadedLangCell, profiles: CellProfiles, tissues: Sequence[str]) -> ReferenceCells:
    """Return the reference cells of a model, with the mean cells of some profiles behind them.

    Args:
        loaded: the model, with reference cells that have types.
        profiles: mean profiles; names of the new cells are study, tissue, label and condition.
        tissues: tissues whose profiles are taken, as the profiles write them.

    Raises:
        ValueError: the model has no reference cells, or a tissue has no profile.
    """
    extractor = loaded.processor.feature_extractor
    cells = extractor.reference_cells
    if cells is None or not cells.types:
        raise ValueError(f"{loaded.model_id} has no reference cells with types; train it by langcell_mini.py.")
    tissue = profiles.obs["tissue_clean"].to_numpy(dtype=str)
    if missing := [name for name in tissues if name not in tissue]:
        raise ValueError(f"No profile is of {missing[0]!r}; the tissues are: {', '.join(sorted(set(tissue)))}.")
    taken = np.flatnonzero(np.isin(tissue, tissues))
    counts = profiles.fractions[taken] * 10_000
    counts = sparse.csr_matrix(np.where(counts >= REFERENCE_LEAST, counts, 0))
    gene_index = extractor.gene_index(profiles.gene_ids)
    ranked = rank_encode(counts, gene_index, extractor.vocabulary, max_length=REFERENCE_LENGTH, add_cls=False)
    ontology = Ontology.cellxgene()
    obs = profiles.obs.iloc[taken]
    new_types = [ontology.current(type_id).id for type_id in obs["cl_id"].astype(str)]
    types = [*cells.types, *sorted(set(new_types) - set(cells.types))]
    texts = [*cells.texts, *(label.text for label in resolve_labels(types)[len(cells.texts) :])]
    names = obs[[name for name in ("study", "tissue_clean", "label_original", "condition") if name in obs]]
    # Lists of one length: a correlation over longer ones would be another.
    lists = [cells.ids_of(row)[:REFERENCE_LENGTH] for row in range(len(cells))]
    lists += [ranked[row] for row in range(len(ranked))]
    return ReferenceCells(
        np.concatenate(lists),
        np.cumsum([0, *map(len, lists)]),
        tuple(texts),
        np.concatenate([cells.text_of, [types.index(type_id) for type_id in new_types]]),
        names=(*cells.names, *names.astype(str).agg("|".join, axis=1)),
        types=tuple(types),
        states=cells.states,
        state_directions=cells.state_directions,
    )


def store_more_reference_cells(folder: Path, profiles: CellProfiles, tissues: Sequence[str]) -> None:
    """Add the reference cells to a folder, with what its weights know of all of them.

    Raises:
        ValueError: see `more_reference_cells`, or the folder holds no model.
    """
    loaded = load(folder, device="cpu")
    cells = more_reference_cells(loaded, profiles, tissues)
    loaded.processor.feature_extractor.reference_cells = cells
    texts = embed_with(loaded, cells.texts)
    cells = cells.with_embeds(known_reference(loaded), loaded.model, text_embeds=texts)
    with atomic_output(folder / REFERENCE_FILE) as temporary:
        cells.save(temporary)
    _say_how_many(folder, len(cells))


def _say_how_many(folder: Path, n_cells: int) -> None:
    """Write the number of reference cells into the configurations of the processor, which say it to readers."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        path = folder / name
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings.get("feature_extractor", settings)["reference_cells"] = n_cells
        path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Add reference cells to a model folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder whose reference_cells.npz grows")
    parser.add_argument("profiles", type=Path, help="h5ad of mean profiles")
    parser.add_argument("--tissues", nargs="+", required=True, help="tissues whose profiles are taken")
    options = parser.parse_args(arguments)
    try:
        profiles = CellProfiles.read(options.profiles)
        store_more_reference_cells(options.model, profiles, options.tissues)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
