import logging
from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData

import langcell
from langcell.inference.search.sentences import (
    SENTENCES_FILE,
    SentenceTypes,
    mean_states,
    search_by_types,
    sentence_types_of,
)
from langcell.loading.load import bundled_model_folder, load
from langcell.sample_data import sample_cells


@pytest.fixture(scope="module")
def loaded():
    return load(device="cpu")


@pytest.fixture(scope="module")
def reader(loaded):
    found = sentence_types_of(loaded)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def blood(loaded):
    """The 700 blood cells that scanpy carries, with embeddings and the laboratory's own names."""
    cells = sample_cells()
    langcell.embed(cells, model=loaded, progress=False)
    return cells


def share_of(found, cells: AnnData, names: str) -> float:
    own = cells.obs.loc[found["found"], "bulk_labels"].astype(str)
    return float(own.str.contains(names).mean())


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("a cell that makes antibodies", r"CD19\+ B"),
        ("leaves the blood to become a macrophage in inflamed tissue", r"CD14\+ Monocyte|Dendritic"),
    ],
)
def test_sentences_of_function_find_the_cells_they_speak_of(loaded, blood, sentence, names):
    found = langcell.retrieve(blood, [sentence], model=loaded, top_k=20)
    assert share_of(found, blood, names) >= 0.8
    assert (np.diff(found["score"]) <= 0).all()
    assert found["score"].iloc[0] > 0.5  # near that of a typical cell


def test_it_says_what_a_sentence_is_read_as_and_when_no_cell_fits(loaded, blood, caplog):
    with caplog.at_level(logging.INFO, logger="langcell"):
        langcell.retrieve(blood, ["granules full of heparin and tryptase, armed with IgE"], model=loaded)
        langcell.retrieve(blood, ["a cell that makes antibodies"], model=loaded)
    nobody, some = [record.getMessage() for record in caplog.records if "is read as" in record.getMessage()]
    assert "read as mast cell" in nobody
    assert "No cell fits well" in nobody
    assert "B cell" in some
    assert "No cell fits" not in some


def test_a_sentence_that_is_compared_as_it_is_says_so(loaded, blood):
    found = langcell.retrieve(blood, ["eats debris"], model=replace(loaded, source=""), top_k=3)
    assert found.attrs["notes"] == [
        "'eats debris' is compared with cells as it is: langcell-mini has no sentence_types.npz at hand."
    ]
    assert (found["score"] == found["similarity"]).all()


def test_the_name_of_a_type_that_no_cell_is_like_says_so(loaded, blood):
    notes = langcell.retrieve(blood, ["neuron", "B cell"], model=loaded).attrs["notes"]
    assert len(notes) == 1
    assert notes[0].startswith("neuron: No cell fits well")


def test_names_of_types_are_compared_as_before(loaded, blood):
    found = langcell.retrieve(blood, ["B cell"], model=loaded, top_k=5)
    assert (found["score"] == found["similarity"]).all()


def test_a_search_in_blocks_finds_what_a_sort_of_all_cells_finds(reader):
    rng = np.random.default_rng(0)
    cells = rng.standard_normal((50, reader.embeds.shape[1])).astype(np.float32)
    cells /= np.linalg.norm(cells, axis=1, keepdims=True)
    shares = rng.dirichlet(np.ones(len(reader.types)), size=3).astype(np.float32)
    every = shares @ reader.of_cells(cells).T / reader.best_possible(shares)[:, None]
    expected = np.argsort(-every, axis=1, kind="stable")[:, :7]
    for size in (50, 8, 3):
        blocks = [(start, cells[start : start + size]) for start in range(0, 50, size)]
        scores, rows = search_by_types(blocks, reader, shares, 7)
        assert rows.tolist() == expected.tolist()
        np.testing.assert_allclose(scores, np.take_along_axis(every, expected, 1), rtol=1e-5)


def test_the_file_reads_back_and_the_same_numbers_give_the_same_bytes(reader, tmp_path):
    for name in ("one", "two"):
        reader.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = SentenceTypes.load(tmp_path / "one")
    assert again.types == reader.types
    assert again.made_by == reader.made_by
    np.testing.assert_array_equal(again.weights, reader.weights)


def test_probabilities_sum_to_one_and_do_not_depend_on_other_sentences(loaded, reader):
    texts = ["a cell that makes antibodies", "lays down collagen", "x " * 200]
    together = reader.read(mean_states(loaded, texts))
    np.testing.assert_allclose(together.sum(1), 1, rtol=1e-5)
    alone = np.concatenate([reader.read(mean_states(loaded, [text])) for text in texts])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_a_model_of_other_texts_or_without_the_file_compares_sentences_as_they_are(loaded, tmp_path, caplog):
    assert sentence_types_of(replace(loaded, source="")) is None
    assert sentence_types_of(replace(loaded, source=tmp_path)) is None
    other = replace(SentenceTypes.load(bundled_model_folder() / SENTENCES_FILE), made_by="another")
    other.save(tmp_path / SENTENCES_FILE)
    assert sentence_types_of(replace(loaded, source=tmp_path)) is None
    assert "made by another text encoder" in caplog.text
