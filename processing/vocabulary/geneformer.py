"""The gene vocabulary of Geneformer V1, which the released LangCell uses, from its published dictionaries."""

from pathlib import Path

import numpy as np

from langcell.processing.genes import GeneVocabulary
from langcell.processing.vocabulary.pickles import read_number_dictionary, read_text_dictionary

# Of the vocabulary that the three published files make: 25,424 genes.
PUBLISHED_V1_FINGERPRINT = "eb7576ccc570b08efc9e6a5a55b2788fd40a6770b741d77831dc296533d40cc8"
_V1_SPECIALS = {"<pad>": 0, "<mask>": 1}
_V2_SPECIALS = ("<cls>", "<eos>")
_SHOWN = 5
_VERSIONS = (
    "LangCell was trained with Geneformer V1 (June 2021, about 30 M cells): 25,426 tokens, of which 25,424 are genes, "
    "and no <cls>. Geneformer V2 (2024) has other token ids and medians (about 20,275 tokens, with <cls> and <eos>), "
    "which would turn every gene into another without any error. Use the V1 files, which Geneformer keeps under "
    "gene_dictionaries_30m (token_dictionary_gc30M.pkl, gene_median_dictionary_gc30M.pkl, gene_name_id_dict_gc30M.pkl)."
)


def read_geneformer_v1(
    token_dictionary: str | Path, gene_medians: str | Path, gene_names: str | Path | None = None
) -> GeneVocabulary:
    """Make a gene vocabulary of Geneformer V1's dictionaries.

    Args:
        token_dictionary: pickle, Ensembl id -> token id; `<pad>` is 0, `<mask>` 1, the genes follow without a gap.
        gene_medians: pickle, Ensembl id -> non-zero median in counts per 10,000.
        gene_names: pickle, gene name -> Ensembl id; the first name of a gene becomes its symbol, others synonyms.
            Without it, cells need Ensembl ids.

    Raises:
        ValueError: the dictionaries are those of Geneformer V2, do not fit each other, or are damaged.
    """
    tokens = read_number_dictionary(token_dictionary)
    _refuse_v2(tokens, token_dictionary)
    gene_ids = _ordered_genes(tokens, token_dictionary)
    medians = read_number_dictionary(gene_medians)
    without = [gene for gene in gene_ids if gene not in medians]
    if without:
        raise ValueError(
            f"{gene_medians} has no median for {len(without)} of the {len(gene_ids)} genes of {token_dictionary} "
            f"({', '.join(without[:_SHOWN])}, ...); {_VERSIONS}"
        )
    names = _names_by_gene(gene_names, gene_ids) if gene_names is not None else {}
    return GeneVocabulary(
        gene_ids=gene_ids,
        medians=np.array([medians[gene] for gene in gene_ids]),
        symbols=[names.get(gene, ("",))[0] for gene in gene_ids],
        synonyms=[tuple(names.get(gene, ("",))[1:]) for gene in gene_ids],
    )


def is_published_v1(vocabulary: GeneVocabulary) -> bool:
    """Return whether genes and medians are exactly the published ones of Geneformer V1."""
    return vocabulary.fingerprint == PUBLISHED_V1_FINGERPRINT


def _refuse_v2(tokens: dict[str, float], path: str | Path) -> None:
    of_v2 = [name for name in _V2_SPECIALS if name in tokens]
    if of_v2:
        raise ValueError(
            f"{path} has {len(tokens):,} tokens with {' and '.join(of_v2)}: a Geneformer V2 dictionary. {_VERSIONS}"
        )


def _ordered_genes(tokens: dict[str, float], path: str | Path) -> list[str]:
    """Genes by token id; ids have to be whole numbers from 2 on without a gap, as in V1."""
    ordered = sorted(tokens, key=lambda name: tokens[name])
    ids = [tokens[name] for name in ordered]
    if {name: tokens.get(name) for name in _V1_SPECIALS} != _V1_SPECIALS or ids != list(range(len(ids))):
        raise ValueError(
            f"{path} is not laid out as Geneformer V1 (<pad> 0, <mask> 1, genes from 2 on without a gap). {_VERSIONS}"
        )
    return ordered[len(_V1_SPECIALS) :]


def _names_by_gene(path: str | Path, gene_ids: list[str]) -> dict[str, list[str]]:
    known = set(gene_ids)
    names: dict[str, list[str]] = {}
    for name, gene in read_text_dictionary(path).items():
        if gene in known and name != gene:
            names.setdefault(gene, []).append(name)
    if not names:
        raise ValueError(f"{path} names none of the {len(gene_ids)} genes; it must map gene names to Ensembl ids.")
    return names
