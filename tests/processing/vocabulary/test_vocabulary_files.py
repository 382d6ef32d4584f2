import json

import pytest
import tiny

from langcell.processing.genes import GeneVocabulary
from langcell.processing.vocabulary.vocabulary_files import read_vocabulary, write_vocabulary


@pytest.mark.parametrize("name", ["genes.tsv", "genes.json"])
def test_a_vocabulary_comes_back_with_its_fingerprint(tmp_path, name):
    plain = tiny.tiny_vocabulary()
    vocabulary = GeneVocabulary(plain.gene_ids, plain.medians, plain.symbols, [("A", "B"), *[()] * (len(plain) - 1)])
    write_vocabulary(vocabulary, tmp_path / name)
    back = read_vocabulary(tmp_path / name)
    assert back.fingerprint == vocabulary.fingerprint
    assert (list(back.symbols), list(back.synonyms)) == (list(vocabulary.symbols), list(vocabulary.synonyms))


def test_json_says_more(tmp_path):
    vocabulary = tiny.tiny_vocabulary(2)
    genes = [{"cells": 5, "biotype": "miRNA"}, {"cells": 6, "biotype": "protein_coding"}]
    write_vocabulary(vocabulary, tmp_path / "genes.json", genes=genes, origin={"sources": ["a.h5ad"]})
    content = json.loads((tmp_path / "genes.json").read_text())
    assert (content["fingerprint"], content["sources"]) == (vocabulary.fingerprint, ["a.h5ad"])
    assert content["genes"][1] == {
        "gene_id": "ENSG00000000002",
        "symbol": "GENE2",
        "synonyms": [],
        "median": float(vocabulary.medians[1]),
        "cells": 6,
        "biotype": "protein_coding",
    }


@pytest.mark.parametrize("text", ["", "[]", '{"genes": [{}]}', "{"], ids=["empty", "list", "no_fields", "cut"])
def test_damaged_json(tmp_path, text):
    (tmp_path / "genes.json").write_text(text)
    with pytest.raises(ValueError, match=r"genes\.json is no gene vocabulary"):
        read_vocabulary(tmp_path / "genes.json")


def test_json_that_was_edited(tmp_path):
    path = tmp_path / "genes.json"
    write_vocabulary(tiny.tiny_vocabulary(2), path)
    path.write_text(path.read_text().replace("ENSG00000000002", "ENSG00000000003"))
    with pytest.raises(ValueError, match="Gene vocabularies differ"):
        read_vocabulary(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_vocabulary(tmp_path / "genes.tsv")
