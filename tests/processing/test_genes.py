import re

import numpy as np
import pytest
from places import ROOT
from tiny import tiny_vocabulary

from langcell.processing.genes import VOCABULARY_FILE, GeneVocabulary, check_same_vocabulary, strip_version


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("ENSG00000156738.18", "ENSG00000156738", id="human_id_with_version"),
        pytest.param("ENSMUSG00000000001.5", "ENSMUSG00000000001", id="mouse_id_with_version"),
        pytest.param("ENSG00000156738", "ENSG00000156738", id="no_version"),
        pytest.param("AL627309.1", "AL627309.1", id="clone_name_with_a_dot"),
        pytest.param("HLA-DRB1", "HLA-DRB1", id="symbol"),
        pytest.param("", "", id="empty"),
    ],
)
def test_strip_version(name, expected):
    assert strip_version(name) == expected


def test_special_ids_frame_the_genes(vocabulary):
    assert (vocabulary.pad_token_id, vocabulary.mask_token_id, vocabulary.first_gene_token_id) == (0, 1, 2)
    assert vocabulary.cls_token_id == len(vocabulary) + 2
    assert vocabulary.n_tokens == len(vocabulary) + 3


def test_geneformer_v1_has_the_released_number_of_rows():
    vocabulary = tiny_vocabulary(25_424)
    assert (vocabulary.cls_token_id, vocabulary.n_tokens) == (25_426, 25_427)


def test_match_takes_ids_versions_and_symbols_mixed(vocabulary):
    names = ["ENSG00000000003", "ENSG00000000001.12", "GENE5", "gene5", "UNKNOWN"]
    assert vocabulary.match(names).tolist() == [2, 0, 4, -1, -1]


def test_match_of_no_names_is_empty(vocabulary):
    found = vocabulary.match([])
    assert found.shape == (0,)
    assert found.dtype == np.int64


def test_id_wins_over_symbol_and_symbol_over_synonym():
    vocabulary = GeneVocabulary(
        ["ENSG1", "ENSG2", "ENSG3"], np.ones(3), symbols=["A", "ENSG1", "B"], synonyms=[("B", "C"), (), ("C",)]
    )
    assert vocabulary.match(["ENSG1", "B", "C"]).tolist() == [0, 2, 0]


def test_a_name_of_two_genes_is_the_first_one_and_their_ids_tell_them_apart():
    vocabulary = GeneVocabulary(["ENSG00000015479", "ENSG00000280987"], np.ones(2), symbols=["MATR3", "MATR3"])
    assert vocabulary.match(["MATR3", "ENSG00000280987", "ENSG00000015479"]).tolist() == [0, 1, 0]


def test_each_name_of_the_bundled_vocabulary_is_one_gene():
    vocabulary = GeneVocabulary.load(ROOT / "hub_cards" / "langcell-mini" / VOCABULARY_FILE)
    names = [*vocabulary.symbols, *(name for names in vocabulary.synonyms for name in names)]
    assert len(names) > 17_000
    assert len(set(names)) == len(names)


def test_fingerprint_depends_on_ids_their_order_and_medians_only():
    ids, medians = ["ENSG1", "ENSG2"], [1.0, 2.0]
    base = GeneVocabulary(ids, np.array(medians), ["A", "B"])
    assert base.fingerprint == GeneVocabulary(ids, np.array(medians), ["", "other"], [("x",), ()]).fingerprint
    assert base.fingerprint != GeneVocabulary(ids[::-1], np.array(medians), ["A", "B"]).fingerprint
    assert base.fingerprint != GeneVocabulary(ids, np.array([1.0, np.nextafter(2.0, 3)]), ["A", "B"]).fingerprint
    assert base.fingerprint != GeneVocabulary(["ENSG1", "ENSG3"], np.array(medians), ["A", "B"]).fingerprint


def test_fingerprint_is_frozen():
    # Folders and shards that exist carry fingerprints: a new way to compute them would refuse them all.
    vocabulary = GeneVocabulary(["ENSG00000156738", "ENSG00000105369"], np.array([2.5, 1 / 3]), ["MS4A1", "CD79A"])
    assert vocabulary.fingerprint == "d251559200c4e4ad6dc6c38d2c7eda8b1572f78eaff83ee60efcdf35ad0b3416"


def test_save_and_load_keep_everything(tmp_path):
    saved = GeneVocabulary(["ENSG1", "ENSG2"], np.array([1 / 3, 7e-5]), symbols=["A", ""], synonyms=[("A1", "A-2"), ()])
    saved.save(tmp_path / "genes.tsv")
    loaded = GeneVocabulary.load(tmp_path / "genes.tsv")
    assert loaded.fingerprint == saved.fingerprint
    assert list(loaded.gene_ids) == ["ENSG1", "ENSG2"]
    assert list(loaded.symbols) == ["A", ""]
    assert loaded.synonyms == (("A1", "A-2"), ())
    np.testing.assert_array_equal(loaded.medians, saved.medians)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda text: text.replace("GENE", "X", 1).replace("\n", "\r\n"), None, id="symbols_may_change"),
        pytest.param(lambda text: "hello\n", "is not a gene vocabulary; expected the columns", id="other_file"),
        pytest.param(lambda text: "", "is not a gene vocabulary", id="empty_file"),
        pytest.param(lambda text: text.rsplit("\n", 2)[0] + "\n", "Gene vocabularies differ", id="last_line_cut_off"),
        pytest.param(lambda text: text.rsplit("\t", 2)[0], "damaged gene vocabulary", id="cut_within_a_line"),
        pytest.param(
            lambda text: text.replace("ENSG00000000002", "ENSG1"), "Gene vocabularies differ", id="other_gene"
        ),
    ],
)
def test_load_checks_the_file_against_its_fingerprint(tmp_path, vocabulary, change, message):
    path = tmp_path / "genes.tsv"
    vocabulary.save(path)
    path.write_text(change(path.read_text()), newline="")
    if message is None:
        assert GeneVocabulary.load(path).fingerprint == vocabulary.fingerprint
    else:
        with pytest.raises(ValueError, match=message):
            GeneVocabulary.load(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((["A", "A"], [1, 1], ["", ""]), "Gene 'A' is in the vocabulary twice", id="gene_twice"),
        pytest.param((["A", "B"], [1], ["", ""]), r"different lengths: \[1, 2\]", id="lengths_differ"),
        pytest.param((["A", "B"], [1, 0], ["", ""]), "Gene 'B' has median 0.0", id="median_zero"),
        pytest.param((["A", "B"], [np.nan, 1], ["", ""]), "Gene 'A' has median nan", id="median_nan"),
        pytest.param((["A", "B"], [1, np.inf], ["", ""]), "Gene 'B' has median inf", id="median_infinite"),
    ],
)
def test_unusable_vocabularies_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GeneVocabulary(*arguments)


def test_different_fingerprints_are_both_named():
    message = "the model has fingerprint aaaaaaaaaaaa, the shard has bbbbbbbbbbbb"
    with pytest.raises(ValueError, match=message):
        check_same_vocabulary("a" * 64, "b" * 64, "the model", "the shard")
    check_same_vocabulary("a" * 64, "a" * 64, "the model", "the shard")


def test_require_known_is_match_where_a_gene_is_known(vocabulary):
    assert vocabulary.require_known(["UNKNOWN", "GENE2"]).tolist() == [-1, 1]


MOUSE_SYMBOLS = ["Xkr4", "Rp1", "Sox17", "Mrpl15", "Lypla1", "Tcea1", "Rgs20", "Atp6v1h", "0610005C13Rik", "Oprk1"]


@pytest.mark.parametrize(
    ("names", "other_columns", "message"),
    [
        pytest.param(["ENSMUSG00000051951", "ENSMUSG00000025900.14"], (), "look like mouse genes", id="mouse_ids"),
        pytest.param(MOUSE_SYMBOLS, (), "look like mouse genes", id="mouse_symbols"),
        pytest.param(["0", "1", "2"], ("gene_ids", "name"), "--gene-column; this file has gene_ids, name", id="column"),
        pytest.param(["foo", "bar"], (), "give human Ensembl ids (ENSG...) or gene symbols", id="nothing_known"),
    ],
)
def test_no_known_gene_is_an_error_that_helps(vocabulary, names, other_columns, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        vocabulary.require_known(names, other_columns=other_columns)
    assert str(error.value).startswith(f"None of the {len(names)} genes ({names[0]!r}, ")
    assert "\n" not in str(error.value)


def test_mouse_genes_are_refused_although_some_symbols_are_written_as_in_human():
    vocabulary = GeneVocabulary(["ENSG00000125730", "ENSG00000130600"], np.ones(2), symbols=["C3", "H19"])
    with pytest.raises(ValueError, match=r"Only 2 of the 42 genes .* are in the model's vocabulary; .* mouse genes"):
        vocabulary.require_known([*MOUSE_SYMBOLS * 4, "C3", "H19"])


def test_a_vocabulary_of_another_species_knows_its_own_symbols():
    symbols = MOUSE_SYMBOLS
    vocabulary = GeneVocabulary([f"ENSMUSG{i}" for i in range(len(symbols))], np.ones(len(symbols)), symbols)
    assert vocabulary.require_known(symbols).tolist() == list(range(len(symbols)))
