import re

import numpy as np
import pytest

from langcell.processing.gene_naming import found_genes
from langcell.processing.gene_naming.found_genes import GeneNaming, find_genes
from langcell.processing.gene_naming.orthologs import Orthologs
from langcell.processing.genes import GeneVocabulary

HUMAN = ["CD3E", "CD8B", "HLA-DQB1", "KLRB1", "TP53", "MT-CO1", "LYZ", "GSTM2", "IGHV1-2", "MS4A1", "CD79A", "NKG7"]
IDS = [f"ENSG{i:011d}" for i in range(1, len(HUMAN) + 1)]
VOCABULARY = GeneVocabulary(IDS, np.ones(len(HUMAN)), HUMAN, [("EAR2",), *[()] * (len(HUMAN) - 1)])
MOUSE = ["Cd3e", "Cd8b1", "H2-Ab1", "Klrb1c", "Trp53", "mt-Co1", "Lyz2", "Gstm2", "Ighv1-2", "Xkr4", "Gm1992", "Ear2"]
FILLERS = [f"UNKNOWN{i}" for i in range(300)]


@pytest.fixture(autouse=True)
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_genes, "installed_orthologs", lambda: None)


def found(names: list[str], **naming: str) -> list[str]:
    index = find_genes(names, VOCABULARY, naming=GeneNaming(**naming)).index
    return [HUMAN[i] if i >= 0 else "" for i in index]


def test_mouse_symbols_go_to_the_gene_of_the_same_letters_or_a_known_exception() -> None:
    expected = ["CD3E", "CD8B", "HLA-DQB1", "KLRB1", "TP53", "MT-CO1", "LYZ", "", "", "", "", ""]
    assert found(MOUSE) == found(MOUSE, species="mouse") == expected
    result = find_genes(MOUSE, VOCABULARY)
    assert result.species == "mouse"
    assert "7 of 12 genes" in result.notes[0]
    assert "an approximation" in result.notes[0]


def test_mouse_symbols_in_capitals_are_read_by_their_letters() -> None:
    assert found([name.upper() for name in MOUSE[:1]] + ["LYZ2"], species="mouse") == ["CD3E", ""]


def test_differently_written_names_of_the_same_letters_are_not_taken() -> None:
    assert found([*MOUSE, "NkG7", "Nkg7"])[-2:] == ["", ""]


def test_human_genes_stay_human() -> None:
    assert found([*HUMAN, "C1orf112", "Xkr4"])[:12] == HUMAN
    assert find_genes(HUMAN, VOCABULARY).species == "human"
    assert found([*HUMAN, *MOUSE[:1]], species="human")[-1] == ""


@pytest.mark.parametrize("names", [[*HUMAN, *MOUSE], [f"GRCh38_{n}" for n in HUMAN] + [f"mm10___{n}" for n in MOUSE]])
def test_a_mixture_of_species_is_refused_unless_one_is_named(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"a mixture of cells of both, such as a xenograft.*--species human or mouse"):
        found(names)
    assert found(names, species="human") == [*HUMAN, *[""] * len(MOUSE)]
    mouse = found(names, species="mouse")
    assert mouse[: len(HUMAN)] == [""] * len(HUMAN)
    assert mouse[len(HUMAN)] == "CD3E"


def test_mouse_ids_need_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["ENSMUSG00000032093.7", "ENSMUSG00000053044", "ENSMUSG00000000001"]
    with pytest.raises(ValueError, match=r"are those of mice, .*Give a table of orthologs.*--orthologs FILE"):
        found(names)
    human = {"ENSMUSG00000032093": (IDS[0],), "ENSMUSG00000000001": ("GNAI3",)}
    table = Orthologs("a table", human, {"ENSMUSG00000053044": "Cd8b1"})
    monkeypatch.setattr(found_genes, "installed_orthologs", lambda: table)
    assert found(names) == ["CD3E", "CD8B", ""]
    assert "by the orthologs of a table" in find_genes(names, VOCABULARY).notes[0]


def test_a_table_that_is_given_goes_before_the_letters_and_one_of_the_package_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Orthologs("a table", {"Cd3e": ("CD79A",)}, {})
    monkeypatch.setattr(found_genes, "installed_orthologs", lambda: table)
    monkeypatch.setattr(found_genes, "read_orthologs", lambda path: table)
    assert found(MOUSE)[0] == "CD3E"
    assert found(MOUSE, orthologs="table.csv")[0] == "CD79A"


def test_a_vocabulary_of_another_species_knows_its_own_genes() -> None:
    vocabulary = GeneVocabulary([f"ENSMUSG{i:011d}" for i in range(len(MOUSE))], np.ones(len(MOUSE)), MOUSE)
    result = find_genes(MOUSE, vocabulary)
    assert result.index.tolist() == list(range(len(MOUSE)))
    assert result.notes == ()


@pytest.mark.parametrize(
    ("form", "note"),
    [
        pytest.param("GRCh38_{}", "Took GRCh38_ off the names of 12 genes", id="genome"),
        pytest.param("hg19-{}", "Took hg19- off", id="hyphen"),
        pytest.param("premrna_GRCh38_{}", "Took premrna_GRCh38_ off", id="premrna"),
        pytest.param("GRCh38______{}", "Took GRCh38______ off", id="six_strokes"),
        pytest.param("rna:{}", "Took rna: off", id="modality"),
        pytest.param("{}.1", "Took numbers", id="numbers"),
    ],
)
def test_what_most_names_have_before_or_behind_them_is_taken_off(form: str, note: str) -> None:
    result = find_genes([form.format(name) for name in HUMAN], VOCABULARY)
    assert result.index.tolist() == list(range(len(HUMAN)))
    assert result.notes[0].startswith(note)


@pytest.mark.parametrize("form", ["{symbol}_{id}", "{id}.4|{symbol}", "{id}_{symbol}"])
def test_ids_within_names_are_read(form: str) -> None:
    names = [form.format(symbol=symbol, id=gene_id) for symbol, gene_id in zip(HUMAN, IDS, strict=True)]
    result = find_genes(names, VOCABULARY)
    assert result.index.tolist() == list(range(len(HUMAN)))


def test_parts_of_names_are_no_prefixes() -> None:
    names = ["HLA-DQB1", "MT-CO1", "RP11-34P13.7", "CD3E", "MT-ND9"]
    assert found(names) == ["HLA-DQB1", "MT-CO1", "", "CD3E", ""]


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        pytest.param([f"ENST{i:011d}.2" for i in range(300)], "transcripts: add their counts up", id="transcripts"),
        pytest.param([f"ENSDARG{i:011d}" for i in range(300)], "genes of another species", id="zebrafish"),
        pytest.param([f"chr1:{i}-{i + 500}" for i in range(300)], "peaks or regions", id="peaks"),
        pytest.param([f"{i % 28}-Mar" for i in range(300)], "dates, which a spreadsheet made", id="dates"),
        pytest.param([str(i) for i in range(300)], "numbers: rows, or Entrez ids", id="numbers"),
        pytest.param([f"{i}_s_at" for i in range(300)], "probes of an array", id="probes"),
        pytest.param(FILLERS, "give human Ensembl ids", id="unknown"),
    ],
)
def test_next_to_no_known_gene_is_refused_with_the_likely_cause(names: list[str], cause: str) -> None:
    few = (
        [*names, *("CD3E", "LYZ")] if not names[0].startswith("ENSDARG") else [*names[:270], *FILLERS[:30], *HUMAN[::6]]
    )
    with pytest.raises(ValueError, match=re.escape(cause)) as caught:
        find_genes(few, VOCABULARY, share_of_counts=lambda genes: 0.19)
    assert "Only 2 of the 302 genes" in str(caught.value)
    assert "19.0% of the counts (needed are 5% or 20%)" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (find_genes(few, VOCABULARY, share_of_counts=lambda genes: 0.2).index >= 0).sum() == 2


def test_enough_known_genes_need_no_look_at_the_counts() -> None:
    def never(genes: np.ndarray) -> float:
        raise AssertionError

    names = [*HUMAN, *FILLERS[:200]]
    assert (find_genes(names, VOCABULARY, share_of_counts=never).index >= 0).sum() == len(HUMAN)


def test_a_column_of_ids_matches_no_symbol() -> None:
    vocabulary = GeneVocabulary([f"ENSG{i:011d}" for i in range(30)], np.ones(30), ["CD4", *[""] * 29])
    assert vocabulary.match([*vocabulary.gene_ids, "CD4"]).tolist() == [*range(30), -1]
    assert vocabulary.match([*vocabulary.gene_ids[:3], "CD4"]).tolist() == [0, 1, 2, 0]


def test_unknown_species_and_a_table_for_humans_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown species 'rat'; species is one of \['auto', 'human', 'mouse'\]"):
        GeneNaming("rat")
    with pytest.raises(ValueError, match="leave it out"):
        GeneNaming("human", "table.csv")
