"""Tallies of parts, merged in any order, are that of one pass."""

from collections import Counter

import numpy as np
import pytest
from scipy import sparse

from langcell.processing.vocabulary.gene_biotypes import GeneEntry
from langcell.processing.vocabulary.gene_tally import GeneTally

IDS = [f"ENSG{i:011d}" for i in range(8)]


def part(name: str, genes: list[int], *, n_cells: int = 50, symbol: str = "S") -> GeneTally:
    tally = GeneTally.empty([IDS[i] for i in genes])
    rng = np.random.default_rng(len(name) + genes[0])
    tally.sketch.add(sparse.csr_matrix(rng.poisson(1.5, (n_cells, len(genes))).astype(np.float32)))
    tally.names = [Counter({f"{symbol}{i}": n_cells}) for i in genes]
    tally.biotypes = [Counter({"protein_coding" if i % 2 else "lncRNA": n_cells}) for i in genes]
    tally.n_cells, tally.sources = n_cells, [name]
    return tally


def parts() -> list[GeneTally]:
    return [part("a", [0, 1, 2, 5]), part("bb", [1, 2, 3, 7], n_cells=80, symbol="T"), part("ccc", [0, 5, 7])]


def same(one: GeneTally, other: GeneTally) -> None:
    assert (one.gene_ids, one.names, one.biotypes) == (other.gene_ids, other.names, other.biotypes)
    assert (one.n_cells, one.sources) == (other.n_cells, other.sources)
    np.testing.assert_array_equal(one.sketch.medians(), other.sketch.medians())
    np.testing.assert_array_equal(one.sketch.n_cells_with_gene, other.sketch.n_cells_with_gene)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_the_order_of_the_parts_does_not_matter(order):
    made = parts()
    whole = GeneTally.merged(made[i] for i in order)
    same(whole, GeneTally.merged(parts()))
    assert (whole.n_cells, whole.sources) == (180, ["a", "bb", "ccc"])
    assert whole.vocabulary()[0].fingerprint == GeneTally.merged(parts()).vocabulary()[0].fingerprint


def test_merging_merged_parts(tmp_path):
    first, second, third = parts()
    same(GeneTally.merged([GeneTally.merged([first, second]), third]), GeneTally.merged(parts()))


def test_a_part_comes_back_from_its_file(tmp_path):
    made = parts()[1]
    made.save(tmp_path / "part.npz")
    same(GeneTally.load(tmp_path / "part.npz"), made)


def test_what_is_no_part(tmp_path):
    (tmp_path / "part.npz").write_text("no")
    with pytest.raises(ValueError, match=r"part\.npz is no part"):
        GeneTally.load(tmp_path / "part.npz")
    with pytest.raises(FileNotFoundError, match="no such file"):
        GeneTally.load(tmp_path / "none.npz")


def test_a_source_is_not_counted_twice():
    with pytest.raises(ValueError, match="Two parts have counted a; merge each source once"):
        GeneTally.merged([parts()[0], parts()[0]])
    with pytest.raises(ValueError, match="There are no parts"):
        GeneTally.merged([])


class TestVocabulary:
    def test_biotypes_of_the_sources(self):
        vocabulary, genes = GeneTally.merged(parts()).vocabulary(min_cells=5)
        assert list(vocabulary.gene_ids) == [IDS[i] for i in (1, 3, 5, 7)]
        assert {gene["biotype"] for gene in genes} == {"protein_coding"}

    def test_a_table_replaces_what_the_sources_say(self):
        table = {IDS[0]: GeneEntry("miRNA", "NEW0", ("ALIAS",)), IDS[1]: GeneEntry("lncRNA")}
        vocabulary, genes = GeneTally.merged(parts()).vocabulary(table=table)
        assert (list(vocabulary.gene_ids), list(vocabulary.symbols)) == ([IDS[0]], ["NEW0"])
        assert (vocabulary.synonyms, genes[0]["biotype"]) == ((("ALIAS", "S0"),), "miRNA")

    def test_the_name_in_most_cells_is_the_symbol_and_the_others_are_synonyms(self):
        vocabulary, _ = GeneTally.merged(parts()).vocabulary(keep=["protein_coding", "lncRNA"])
        row = vocabulary.match([IDS[1]])[0]
        assert (vocabulary.symbols[row], vocabulary.synonyms[row]) == ("T1", ("S1",))

    def test_without_biotypes_all_genes_are_kept(self):
        tally = part("a", [0, 1])
        tally.biotypes = [Counter(), Counter()]
        assert len(tally.vocabulary()[0]) == 2

    def test_nothing_left(self):
        with pytest.raises(ValueError, match="No gene to keep was found in 999 cells"):
            part("a", [0, 1]).vocabulary(min_cells=999)
