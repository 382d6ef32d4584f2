"""Mouse genes by the names of their human counterparts, without a table of orthologs: an approximation.

Of the mouse genes whose letters are those of a human symbol (Cd3e, CD3E), 99.8 % are its orthologs in Ensembl and HCOP.
What is well known to be called otherwise stands in `EXCEPTIONS`; each pair was checked against these two.
"""

import re
from collections.abc import Sequence

import numpy as np

from langcell.processing.genes import GeneVocabulary, strip_version

MOUSE_ID = re.compile(r"ENSMUSG\d{11}(\.\d+)?")
# Title case, and the mitochondrial genes: Xkr4, H2-Ab1, Hba-a1, mt-Co1, 0610005C13Rik.
MOUSE_SYMBOL = re.compile(r"(mt-)?[A-Z][a-z0-9]*[a-z][A-Za-z0-9.\-]*|H2-\w+|[0-9A-Z]+Rik")
_HUMAN_FRAME = re.compile(r"C(\d+|X)orf\d+.*")  # human, though it looks like a mouse symbol

# Mouse gene and human gene; of several mouse genes with the same human one the counts add up. "-" is none: there the
# human gene of the same letters is another gene. (Fcgr3 is what mice have as CD16; by descent it is FCGR2A.)
_PAIRS = """
    H2-Aa:HLA-DQA1 H2-Ab1:HLA-DQB1 H2-Ea:HLA-DRA H2-Eb1:HLA-DRB1 H2-DMa:HLA-DMA H2-DMb1:HLA-DMB H2-DMb2:HLA-DMB
    H2-Oa:HLA-DOA H2-Ob:HLA-DOB Cd8b1:CD8B Klrb1:KLRB1 Klrb1a:KLRB1 Klrb1b:KLRB1 Klrb1c:KLRB1 Klrb1f:KLRB1
    Fcgr3:FCGR3A Fcgr4:FCGR3A Fcer2a:FCER2 Igha:IGHA1 Cd1d1:CD1D Cd24a:CD24 Cd59a:CD59 Cd209a:CD209 Lilrb4a:LILRB4
    Il11ra1:IL11RA Il6ra:IL6R Tcl1:TCL1A Ccl21a:CCL21 Ccl21b:CCL21 Ccl21d:CCL21 Ccl27a:CCL27 Bcl2a1a:BCL2A1
    Bcl2a1b:BCL2A1 Bcl2a1d:BCL2A1 Fcnb:FCN1 Ms4a6c:MS4A6A Oasl1:OASL Csta1:CSTA Apobec3:APOBEC3G Serpinb1a:SERPINB1
    Serpinb6a:SERPINB6 Fyb:FYB1 Rnaset2a:RNASET2 Rnaset2b:RNASET2 Lyz1:LYZ Lyz2:LYZ Chil1:CHI3L1 Retnla:RETNLB
    Gbp2b:GBP1 Hba-a1:HBA1 Hba-a2:HBA2 Hba-x:HBZ Hbb-bs:HBB Hbb-bt:HBB Hbb-b1:HBB Hbb-b2:HBB Hbb-y:HBE1 Ins1:INS
    Ins2:INS Reg1:REG1A Kitl:KITLG Mt2:MT2A Adh1:ADH1B Trf:TF Serpina1a:SERPINA1 Serpina1b:SERPINA1
    Serpina1c:SERPINA1 Serpina1d:SERPINA1 Serpina1e:SERPINA1 Serpina3n:SERPINA3 Scd1:SCD Scd2:SCD C1s1:C1S C1ra:C1R
    Abcb1a:ABCB1 Abcb1b:ABCB1 Abca8a:ABCA8 Man1a:MAN1A1 Txn1:TXN Gpi1:GPI Rps3a1:RPS3A Pea15a:PEA15 Dynlt1a:DYNLT1
    Dynlt1b:DYNLT1 Dynlt1c:DYNLT1 Dynlt1f:DYNLT1 Atp6v0e:ATP6V0E1 Eif2s3x:EIF2S3 Eif2s3y:EIF2S3 Rab7:RAB7A
    Tgoln1:TGOLN2 Nt5c3:NT5C3A Ms4a8a:MS4A8 Etl4:KIAA1217 Samd4:SAMD4A Ank:ANKH Anks1:ANKS1A Mzt2:MZT2B
    Ube2d2a:UBE2D2 Sypl:SYPL1 Caml:CAMLG H13:HM13 Bod1l:BOD1L1 Zfp385a:ZNF385A Zfp385b:ZNF385B Zfp804a:ZNF804A
    Zfp804b:ZNF804B Zfp521:ZNF521 Zfp423:ZNF423 Zfp536:ZNF536 Zfp704:ZNF704 Zfp710:ZNF710 Zfp638:ZNF638
    Zfp609:ZNF609 Zfp608:ZNF608 Zfp292:ZNF292 Zfp106:ZNF106 Zfp462:ZNF462 Zfp148:ZNF148 Trp53:TP53 Trp63:TP63
    Trp73:TP73 Trp53i11:TP53I11 Trp53inp1:TP53INP1 Trp53inp2:TP53INP2 Trp53bp1:TP53BP1 Car1:CA1 Car2:CA2 Car3:CA3
    Car4:CA4 Car6:CA6 Car8:CA8 Car9:CA9 Car10:CA10 Car11:CA11 Car12:CA12 Car13:CA13 Car14:CA14 Ceacam3:- Ceacam5:-
    Mageb2:- Mageb3:- Gstm2:- Gstm5:- Cfhr2:- H3f3c:- Ankrd36:- Poteg:- Ube2q2l:-
"""
EXCEPTIONS = {mouse: human for mouse, _, human in (pair.partition(":") for pair in _PAIRS.split())}
# Variable segments are numbered by their place in each species: the same letters are another gene.
_VARIABLE_SEGMENT = re.compile(r"(IG[HKL]|TR[ABGD])[VDJ]\d.*")


def looks_like_mouse(name: str) -> bool:
    """Return whether a name is written as mouse genes are: Cd3e, mt-Co1, ENSMUSG00000032093.

    >>> [looks_like_mouse(name) for name in ("Cd3e", "CD3E", "C1orf112", "ENSMUSG00000032093.7", "C3")]
    [True, False, False, True, False]
    """
    if MOUSE_ID.fullmatch(name):
        return True
    return bool(MOUSE_SYMBOL.fullmatch(name)) and not _HUMAN_FRAME.fullmatch(name)


def same_letters_index(names: Sequence[str], vocabulary: GeneVocabulary) -> np.ndarray:
    """Place in a human vocabulary of the gene with the same letters, or of an exception; -1 where there is none.

    Human symbols count, human synonyms do not: a synonym is shared by too many genes. Where differently written names
    have the same letters, none of them is taken.

    Returns:
        int64, shape (names,).
    """
    written: dict[str, set[str]] = {}
    for name in names:
        written.setdefault(name.upper(), set()).add(name)
    human = [_human_name(name) if name and len(written[name.upper()]) == 1 else "" for name in names]
    return vocabulary.match(human, synonyms=False)


def _human_name(name: str) -> str:
    if name in EXCEPTIONS:
        return EXCEPTIONS[name] if EXCEPTIONS[name] != "-" else ""
    upper = strip_version(name).upper()
    return "" if _VARIABLE_SEGMENT.fullmatch(upper) else upper
