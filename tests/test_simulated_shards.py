from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny_profiles
from tiny_profiles import IDS

from langcell.processing.cell_profiles import CellProfiles
from langcell.processing.genes import GeneVocabulary
from langcell.processing.ontology import Ontology
from langcell.processing.shards import read_descriptions, read_manifest, verify
from langcell.processing.simulated_shards import profile_texts, write_simulated_shards
from langcell.processing.simulation import SimulationConfig

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


def test_full_descriptions_have_their_share(profiles_path):
    texts = profile_texts(CellProfiles.read(profiles_path), Ontology.cellxgene(), full_share=0.5)
    chosen = texts.choose(np.repeat([0, 1, 2], 2_000), np.random.default_rng(0))
    forms = [texts.descriptions[i].form for i in chosen]
    assert forms.count("full") / len(forms) == pytest.approx(0.5, abs=0.03)
    assert {"name", "synonym", "definition", "with tissue"} < set(forms)


def test_a_text_shared_by_two_types_is_left_out(tmp_path, profiles_path):
    obo = tmp_path / "tiny.obo"
    terms = "".join(
        f'\n[Term]\nid: {cl_id}\nname: {name}\nsynonym: "lymph cell" EXACT []\nsynonym: "{name}s" EXACT []\n'
        for cl_id, name in [("CL:0000236", "B cell"), ("CL:0000084", "T cell")]
    )
    tissues = "".join(f"\n[Term]\nid: {i}\nname: {i}\n" for i in ("UBERON:0000178", "UBERON:0002048"))
    obo.write_text(f"format-version: 1.2\nontology: tiny\n{terms}{tissues}")
    texts = profile_texts(CellProfiles.read(profiles_path), Ontology.from_file(obo))
    written = [description.text for description in texts.descriptions]
    assert "cell type: b cells; " in written
    assert not any("lymph cell" in text for text in written)
    assert len(set(written)) == len(written)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"n_cells": 0}, "n_cells is 0", id="no_cells"),
        pytest.param({"workers": 0}, "workers is 0", id="no_workers"),
        pytest.param({"full_share": 1.5}, "full_share is 1.5", id="share"),
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
