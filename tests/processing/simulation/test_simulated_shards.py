from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny_profiles
from tiny_profiles import IDS

from langcell.processing.genes import GeneVocabulary
from langcell.processing.ontology.terms import Ontology
from langcell.processing.shards.writer import read_descriptions, read_manifest, verify
from langcell.processing.simulation.simulated_shards import write_simulated_shards
from langcell.processing.simulation.simulator import SimulationConfig

VOCABULARY = GeneVocabulary(IDS[:250], np.full(250, 2.0), [""] * 250)
CONFIG = SimulationConfig(experiment_cells=(20, 30), panel_genes=(100, 200))
ARGUMENTS = {"n_cells": 130, "seed": 5, "cells_per_shard": 50, "max_length": 64, "config": CONFIG, "progress": False}


@pytest.fixture(scope="module")
def profiles_path(tmp_path_factory) -> Path:
    return tiny_profiles.write_profiles(tmp_path_factory.mktemp("profiles") / "profiles.h5ad")


@pytest.fixture(scope="module")
def folder(profiles_path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "shards"
    write_simulated_shards(profiles_path, folder, VOCABULARY, ontology=Ontology.cellxgene(), **ARGUMENTS)
    return folder


def test_shards_are_complete(folder, profiles_path):
    manifest = read_manifest(folder)
    assert verify(folder) == []
    assert [shard.rows for shard in manifest.shards] == [50, 50, 30]
    assert manifest.simulation is not None
    assert manifest.simulation["seed"] == 5
    assert manifest.simulation["panel_genes"] == [100, 200]
    assert manifest.sources[0]["name"] == profiles_path.name


def test_every_cell_has_a_text_of_its_type(folder):
    descriptions = read_descriptions(folder)
    for path in read_manifest(folder).shard_paths(folder):
        for row in pq.read_table(path).to_pylist():
            text = descriptions[row["description_id"]]
            assert text.cell_type_ontology_term_id == row["cell_type_ontology_term_id"]
            assert text.tissue_ontology_term_id in ("", row["tissue_ontology_term_id"])
            assert row["input_ids"][0] == VOCABULARY.cls_token_id
            assert row["length"] == len(row["input_ids"]) <= 64
            assert row["source"] in ("simulated:one", "simulated:two")


def test_another_process_count_gives_the_same_bytes(folder, profiles_path, tmp_path):
    write_simulated_shards(
        profiles_path, tmp_path / "two", VOCABULARY, ontology=Ontology.cellxgene(), **ARGUMENTS, workers=2
    )
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert (tmp_path / "two" / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_another_seed_gives_other_cells(folder, profiles_path, tmp_path):
    arguments = {**ARGUMENTS, "seed": 6}
    other = write_simulated_shards(
        profiles_path, tmp_path / "other", VOCABULARY, ontology=Ontology.cellxgene(), **arguments
    )
    assert other.shards[0].sha256 != read_manifest(folder).shards[0].sha256
    assert other.descriptions == read_manifest(folder).descriptions


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"n_cells": 0}, "n_cells is 0", id="no_cells"),
        pytest.param({"workers": 0}, "workers is 0", id="no_workers"),
        pytest.param({"text_shares": {"full": 0.0}}, "The shares of texts are", id="share"),
    ],
)
def test_refusals_leave_nothing_behind(profiles_path, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        write_simulated_shards(
            profiles_path, tmp_path / "no", VOCABULARY, ontology=Ontology.cellxgene(), **{**ARGUMENTS, **changes}
        )
    assert not (tmp_path / "no").exists()


def test_a_vocabulary_of_other_genes_is_refused(profiles_path, tmp_path):
    other = GeneVocabulary(["ENSG99999999999"], np.ones(1), [""])
    with pytest.raises(ValueError, match="is in the model's vocabulary"):
        write_simulated_shards(profiles_path, tmp_path / "no", other, ontology=Ontology.cellxgene(), **ARGUMENTS)
    assert not (tmp_path / "no").exists()
