"""Biotype tables as Ensembl and GENCODE write them."""

import gzip

import pytest

from langcell.processing.vocabulary.gene_biotypes import GeneEntry, read_gene_table

BIOMART = """Gene stable ID\tGene type\tGene name\tGene Synonym
ENSG00000156738\tprotein_coding\tMS4A1\tB1
ENSG00000156738\tprotein_coding\tMS4A1\tCD20
ENSG00000284332\tmiRNA\tMIR1302-2\t
ENSG00000243485\tlncRNA\t\t
"""
API = "ensembl_gene_id,gene_biotype,external_gene_name\nENSG00000156738.18,protein_coding,MS4A1\n"
GTF = """#!genome-build GRCh38.p14
11\thavana\tgene\t1\t9\t.\t+\t.\tgene_id "ENSG00000156738"; gene_version "18"; gene_name "MS4A1"; gene_biotype "protein_coding";
11\thavana\ttranscript\t1\t9\t.\t+\t.\tgene_id "ENSG00000156738"; transcript_biotype "retained_intron";
1\thavana\tgene\t1\t9\t.\t+\t.\tgene_id "ENSG00000243485.5"; gene_type "lncRNA";
"""  # noqa: E501
MS4A1 = GeneEntry("protein_coding", "MS4A1")


def test_biomart_with_a_row_for_each_synonym(tmp_path):
    (tmp_path / "mart.tsv").write_text(BIOMART)
    assert read_gene_table(tmp_path / "mart.tsv") == {
        "ENSG00000156738": GeneEntry("protein_coding", "MS4A1", ("B1", "CD20")),
        "ENSG00000284332": GeneEntry("miRNA", "MIR1302-2"),
        "ENSG00000243485": GeneEntry("lncRNA"),
    }


def test_names_of_the_api_commas_and_versions(tmp_path):
    (tmp_path / "mart.csv").write_text(API)
    assert read_gene_table(tmp_path / "mart.csv") == {"ENSG00000156738": MS4A1}


@pytest.mark.parametrize("name", ["genes.gtf", "genes.gtf.gz"])
def test_gtf_of_ensembl_and_gencode(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(GTF.encode()) if name.endswith("gz") else GTF.encode())
    assert read_gene_table(path) == {"ENSG00000156738": MS4A1, "ENSG00000243485": GeneEntry("lncRNA")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a\tb\n1\t2\n", "has no column 'Gene stable ID'", id="no_ids"),
        pytest.param("Gene stable ID\tx\nENSG1\t2\n", "has no column 'Gene type'", id="no_biotypes"),
        pytest.param("Gene stable ID\tGene type\n", "has no genes", id="no_rows"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, message):
    (tmp_path / "table.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_gene_table(tmp_path / "table.tsv")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_gene_table(tmp_path / "none.tsv")
