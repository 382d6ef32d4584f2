"""Simulated cells as tokenized shards: drawn from profiles, ranked, and each given one of the texts of its type."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from langcell.processing.genes import GeneVocabulary
from langcell.processing.ontology.terms import Ontology
from langcell.processing.rank_values import rank_encode
from langcell.processing.shards.writer import (
    FileRecord,
    Manifest,
    cell_table,
    finish_folder,
    prepare_folder,
    sha256_of,
    write_shard,
)
from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.simulation.profile_texts import (
    TEXT_SHARES,
    ProfileTexts,
    profile_texts,
    tissue_ids,
)
from langcell.processing.simulation.simulator import CellSimulator, SimulationConfig
from langcell.processing.workers.pool import results_in_order, run_in_processes


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
            "tissue_ontology_term_id": tissue_ids(self.simulator.profiles)[cells.profile],
            "source": ("simulated:" + obs["study"]).to_numpy(dtype=object),
        }
        ranked = rank_encode(cells.counts, self.gene_index, self.vocabulary, max_length=self.max_length)
        table = cell_table(ranked, self.texts.choose(cells.profile, rng), columns)
        return write_shard(self.folder, number, table)

    def make_job(self, job: tuple[int, int, np.random.SeedSequence]) -> FileRecord:
        return self.make(*job)


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
    text_shares: Mapping[str, float] = TEXT_SHARES,
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
        text_shares: How often a cell is given each kind of text (`TEXT_SHARES` of `profile_texts`).
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
    texts = profile_texts(profiles, ontology, shares=text_shares)
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
        simulation={
            "seed": seed,
            "text_shares": dict(text_shares),
            "cells_per_shard": cells_per_shard,
            **_plain(config),
        },
    )


def _run(maker: _ShardMaker, jobs: Sequence[tuple], workers: int) -> Iterator[FileRecord]:
    if workers == 1:
        yield from (maker.make(*job) for job in jobs)
        return
    yield from results_in_order(run_in_processes(maker.make_job, jobs, workers=workers))


def _plain(config: SimulationConfig) -> dict[str, Any]:
    """Return the configuration as it reads back from JSON, where pairs are lists."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}
