"""Simulated cells as tokenized shards: drawn from profiles, ranked, and each given one of the texts of its type."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from .cell_profiles import CellProfiles
from .descriptions import describe_term, text_forms
from .genes import GeneVocabulary
from .ontology import Ontology, Term
from .rank_values import rank_encode
from .shards import (
    Description,
    FileRecord,
    Manifest,
    cell_table,
    finish_folder,
    prepare_folder,
    sha256_of,
    write_shard,
)
from .simulation import CellSimulator, SimulationConfig


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
        """A description id for each cell, int32; `profile` is the row of the profiles it was drawn from."""
        chosen = np.empty(len(profile), dtype=np.int32)
        for row in np.unique(profile):
            cells = np.flatnonzero(profile == row)
            chosen[cells] = rng.choice(self.ids[row], size=len(cells), p=self.weights[row])
        return chosen


def profile_texts(profiles: CellProfiles, ontology: Ontology, *, full_share: float = 0.5) -> ProfileTexts:
    """Collect the texts of all profiles: full description, name, synonyms, definition, with tissue.

    A text that two types share (a common synonym) describes neither and is left out.

    Args:
        profiles: Profiles whose obs has `cl_id` and, where known, `uberon_id`.
        ontology: Where the terms are looked up.
        full_share: Probability of the full description of the type; its other texts share the rest equally.

    Raises:
        ValueError: `full_share` is not between 0 and 1, or an id is unknown.
    """
    if not 0 <= full_share <= 1:
        raise ValueError(f"full_share is {full_share}; a probability lies between 0 and 1.")
    pairs = zip(profiles.obs["cl_id"], _tissue_ids(profiles), strict=True)
    candidates = [_forms(ontology, *pair) for pair in pairs]
    types_of_text: dict[str, set[str]] = defaultdict(set)
    for description in (description for forms in candidates for description in forms):
        types_of_text[description.text].add(description.cell_type_ontology_term_id)
    number: dict[Description, int] = {}
    ids, weights = [], []
    for forms in candidates:
        own = [d for d in forms if d.form == "full" or len(types_of_text[d.text]) == 1]
        ids.append(np.array([number.setdefault(d, len(number)) for d in own], dtype=np.int32))
        is_full = np.array([d.form == "full" for d in own])
        others = (1 - full_share) / max(1, int((~is_full).sum()))
        weight = np.where(is_full, full_share, others)
        weights.append(weight / weight.sum() if weight.sum() > 0 else is_full.astype(float))
    return ProfileTexts(list(number), ids, weights)


def _tissue_ids(profiles: CellProfiles) -> np.ndarray:
    """Uberon id of each profile, "" where it is not known."""
    if "uberon_id" not in profiles.obs:
        return np.full(len(profiles), "", dtype=object)
    return profiles.obs["uberon_id"].to_numpy(dtype=object)


def _forms(ontology: Ontology, cl_id: str, tissue_id: str) -> list[Description]:
    term = ontology.term(cl_id)
    tissue: Term | None = ontology.term(tissue_id) if tissue_id else None
    alone = set(text_forms(term))
    form_of = {describe_term("cell type", term): "full"}
    form_of.setdefault(describe_term("cell type", term, form="name"), "name")
    if term.definition:
        form_of.setdefault(describe_term("cell type", term, form="definition"), "definition")
    return [
        Description(text, cl_id, "", form_of.get(text, "synonym"))
        if text in alone
        else Description(text, cl_id, tissue_id, "with tissue")
        for text in text_forms(term, tissue=tissue)
    ]


@dataclass(frozen=True, eq=False)
class _ShardMaker:
    """All that is needed to make any one shard; each is a pure function of its number and seed."""

    folder: Path
    simulator: CellSimulator
    vocabulary: GeneVocabulary
    gene_index: np.ndarray
    texts: ProfileTexts
    max_length: int

    def make(self, number: int, n_cells: int, seed: np.random.SeedSequence) -> FileRecord:
        rng = np.random.default_rng(seed)
        cells = self.simulator.draw(n_cells, rng)
        obs = self.simulator.profiles.obs.iloc[cells.profile]
        columns = {
            "cell_type_ontology_term_id": obs["cl_id"].to_numpy(dtype=object),
            "tissue_ontology_term_id": _tissue_ids(self.simulator.profiles)[cells.profile],
            "source": ("simulated:" + obs["study"]).to_numpy(dtype=object),
        }
        ranked = rank_encode(cells.counts, self.gene_index, self.vocabulary, max_length=self.max_length)
        table = cell_table(ranked, self.texts.choose(cells.profile, rng), columns)
        return write_shard(self.folder, number, table)


_maker: _ShardMaker | None = None  # of a worker process, set once so that the profiles are sent once


def _set_maker(maker: _ShardMaker) -> None:
    global _maker
    _maker = maker


def _make_shard(job: tuple[int, int, np.random.SeedSequence]) -> FileRecord:
    assert _maker is not None
    return _maker.make(*job)


def write_simulated_shards(
    profiles_path: str | Path,
    folder: str | Path,
    vocabulary: GeneVocabulary,
    *,
    n_cells: int,
    seed: int,
    ontology: Ontology,
    config: SimulationConfig | None = None,
    max_length: int = 2048,
    full_share: float = 0.5,
    cells_per_shard: int = 20_000,
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> Manifest:
    """Draw cells from mean expression profiles and write them as tokenized shards.

    Cells of one experiment lie together, so that a batch of neighbours shares its technical effects. The bytes depend
    on the arguments alone, not on `workers`.

    Args:
        profiles_path: h5ad file that `CellProfiles.read` takes.
        folder: Where the shards go.
        vocabulary: The gene vocabulary.
        n_cells: Number of cells.
        seed: Seed of everything that is drawn.
        ontology: Where cell types and tissues are looked up for their texts.
        config: What the cells go through.
        max_length: Most ids a cell may have, `<cls>` included.
        full_share: Probability that a cell is given the full description of its type.
        cells_per_shard: Cells in every shard but the last.
        workers: Processes that make shards.
        overwrite: Replace finished shards.
        progress: Show a progress bar.

    Returns:
        The manifest, as `read_manifest` reads it.

    Raises:
        ValueError: A number is out of range, the vocabulary knows no gene of the profiles, or the folder is finished.
        FileNotFoundError: There is no such profiles file.
    """
    for name, value in {"n_cells": n_cells, "cells_per_shard": cells_per_shard, "workers": workers}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    profiles = CellProfiles.read(profiles_path)
    config = config if config is not None else SimulationConfig()
    texts = profile_texts(profiles, ontology, full_share=full_share)
    maker = _ShardMaker(
        simulator=CellSimulator(profiles, config),
        vocabulary=vocabulary,
        gene_index=vocabulary.require_known(profiles.gene_ids),
        texts=texts,
        max_length=max_length,
        folder=prepare_folder(folder, overwrite=overwrite),  # last: what is wrong above leaves the folder alone
    )
    sizes = [min(cells_per_shard, n_cells - start) for start in range(0, n_cells, cells_per_shard)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    jobs = list(zip(range(len(sizes)), sizes, seeds, strict=True))
    shards = list(tqdm(_run(maker, jobs, workers), total=len(jobs), desc="shards", unit="shard", disable=not progress))
    return finish_folder(
        folder,
        shards,
        texts.descriptions,
        vocabulary=vocabulary,
        max_length=max_length,
        sources=[{"name": Path(profiles_path).name, "sha256": sha256_of(profiles_path), "profiles": len(profiles)}],
        simulation={"seed": seed, "full_share": full_share, "cells_per_shard": cells_per_shard, **_plain(config)},
    )


def _run(maker: _ShardMaker, jobs: Sequence[tuple], workers: int) -> Iterator[FileRecord]:
    if workers == 1:
        yield from (maker.make(*job) for job in jobs)
        return
    # "spawn" also where "fork" is the default: a forked process inherits locks of threads that it does not have.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_set_maker, initargs=(maker,)) as pool:
        yield from pool.map(_make_shard, jobs)


def _plain(config: SimulationConfig) -> dict[str, Any]:
    """The configuration as it reads back from JSON, where pairs are lists."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}
