"""Gene vocabulary: which genes a model knows, in which order, and how each is named and scaled."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

VOCABULARY_FILE = "gene_vocabulary.tsv"
_HEADER = ("gene_id", "symbol", "median", "synonyms")
_FINGERPRINT_MARK = "# fingerprint sha256:"
_VERSION_SUFFIX = re.compile(r"^(ENS[A-Z]*G\d+)\.\d+$")
_ENSEMBL_GENE = re.compile(r"^ENS[A-Z]*G\d{11}(\.\d+)?$")
# A data set of which fewer genes AND fewer counts are known says too little about its cells to name them.
LEAST_KNOWN_GENES = 0.05
LEAST_KNOWN_COUNTS = 0.2
# Where so many of the names are Ensembl ids, the others are no symbols: antibodies, guides, spiked-in sequences.
_ID_COLUMN = 0.9
# What names that are no human genes look like, and what to do about it; the first with the most names is reported.
_CAUSES: dict[str, str] = {
    r"ENSMUSG\d+(\.\d+)?": "these look like mouse genes, and this model knows human genes: read them with "
    "--species mouse (species='mouse'), or map them to human orthologs first",
    r"ENS[A-Z]*T\d{11}.*": "these are transcripts: add their counts up per gene (ENSG...)",
    r"ENS[A-Z]{3,}G\d{11}.*|FBgn\d+|WBGene\d+|Y[A-P][LR]\d{3}[CW].*": "these are genes of another species, and this "
    "model knows human genes: map them to human orthologs first",
    r"chr[\dXYM]+[:_-]\d+-\d+|[\dXY]+:\d+-\d+": "these are peaks or regions, not genes: give the gene expression",
    r"\d+_?([a-z]_)*at": "these are probes of an array: name them by gene first",
    r"\d+": "these are numbers: rows, or Entrez ids; give Ensembl ids (ENSG...) or gene symbols",
    r"\d{1,2}-[A-Z][a-z]{2}|[A-Z][a-z]{2}-\d{1,2}": "these are dates, which a spreadsheet made of genes such as MARCH1 "
    "and SEPT2: take the names from the original table",
    r"(GRCh|GRCm|hg|mm)\d+[^A-Za-z0-9]+.*": "they begin with the name of a genome: take it off",
    r"\S+[._-]\d+": "they end in a number: take it off, if it is a version",
}


def strip_version(gene_id: str) -> str:
    """Drop the version of an Ensembl gene id; any other name comes back unchanged.

    >>> strip_version("ENSG00000156738.18"), strip_version("AL627309.1")
    ('ENSG00000156738', 'AL627309.1')
    """
    match = _VERSION_SUFFIX.match(gene_id)
    return match.group(1) if match else gene_id


@dataclass(frozen=True, eq=False)
class GeneVocabulary:
    """Ordered genes with their scale and their token ids.

    Token ids follow Geneformer V1 and the released LangCell: pad 0, mask 1, gene i is i + 2, `<cls>` comes last.

    Args:
        gene_ids: Ensembl gene ids without version, unique.
        medians: non-zero median of each gene over a corpus, in counts per 10,000; positive, float64.
        symbols: gene symbols, "" where unknown.
        synonyms: other names of each gene, may be empty.

    Raises:
        ValueError: lengths differ, a gene id is given twice, or a median is not a positive number.

    >>> vocabulary = GeneVocabulary(["ENSG00000156738", "ENSG00000105369"], [2.5, 3.0], ["MS4A1", "CD79A"])
    >>> vocabulary.match(["CD79A", "ENSG00000156738.18", "Xkr4"])
    array([ 1,  0, -1])
    >>> vocabulary.cls_token_id
    4
    """

    gene_ids: Sequence[str]
    medians: np.ndarray
    symbols: Sequence[str]
    synonyms: Sequence[tuple[str, ...]] = field(default=())

    pad_token_id = 0
    mask_token_id = 1
    first_gene_token_id = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "medians", np.asarray(self.medians, dtype=np.float64))
        object.__setattr__(self, "synonyms", tuple(self.synonyms) or ((),) * len(self.gene_ids))
        lengths = {len(self.gene_ids), len(self.medians), len(self.symbols), len(self.synonyms)}
        if len(lengths) != 1:
            raise ValueError(f"gene_ids, medians, symbols and synonyms have different lengths: {sorted(lengths)}.")
        if len(set(self.gene_ids)) != len(self.gene_ids):
            seen: set[str] = set()
            twice = next(g for g in self.gene_ids if g in seen or seen.add(g))
            raise ValueError(f"Gene {twice!r} is in the vocabulary twice; give each Ensembl id once.")
        bad = np.flatnonzero(~(np.isfinite(self.medians) & (self.medians > 0)))
        if bad.size:
            raise ValueError(
                f"Gene {self.gene_ids[bad[0]]!r} has median {self.medians[bad[0]]}; medians are positive numbers."
            )

    def __len__(self) -> int:
        return len(self.gene_ids)

    @property
    def cls_token_id(self) -> int:
        """Id of `<cls>`, which stands first in every cell."""
        return len(self) + self.first_gene_token_id

    @property
    def n_tokens(self) -> int:
        """Rows of the cell encoder's embedding table: genes, pad, mask and `<cls>`."""
        return self.cls_token_id + 1

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over gene ids and medians (shortest exact decimal form), in order.

        Two vocabularies with the same fingerprint give the same token ids for the same cell.
        """
        digest = hashlib.sha256()
        for gene_id, median in zip(self.gene_ids, self.medians, strict=True):
            digest.update(f"{gene_id}\t{float(median)!r}\n".encode())
        return digest.hexdigest()

    @cached_property
    def _index_without_synonyms(self) -> dict[str, int]:
        # Ids win over symbols, symbols over synonyms; among equals the first gene wins, so that a lookup never
        # depends on anything but the vocabulary's own order.
        index = {gene_id: i for i, gene_id in enumerate(self.gene_ids)}
        for i, symbol in enumerate(self.symbols):
            if symbol:
                index.setdefault(symbol, i)
        return index

    @cached_property
    def _index(self) -> dict[str, int]:
        index = dict(self._index_without_synonyms)
        for i, names in enumerate(self.synonyms):
            for name in names:
                index.setdefault(name, i)
        return index

    def match(self, names: Sequence[str], *, synonyms: bool = True) -> np.ndarray:
        """Return the index of each name in the vocabulary, -1 where unknown.

        Where nine tenths of the names are Ensembl ids, a name that is none is unknown, whatever gene is called so.

        Args:
            names: Ensembl ids with or without version, symbols, or a mix of them.
            synonyms: read other names of genes, too.

        Returns:
            int64 array, shape (len(names),).
        """
        index = self._index if synonyms else self._index_without_synonyms
        names = [str(name) for name in names]
        found = (index.get(name, index.get(strip_version(name), -1)) for name in names)
        places = np.fromiter(found, dtype=np.int64, count=len(names))
        is_id = np.fromiter((bool(_ENSEMBL_GENE.match(name)) for name in names), dtype=bool, count=len(names))
        if _ID_COLUMN * sum(map(bool, names)) <= is_id.sum() < len(names):
            places[~is_id] = -1
        return places

    def require_known(
        self,
        names: Sequence[str],
        *,
        other_columns: Sequence[str] = (),
        share_of_counts: Callable[[np.ndarray], float] | None = None,
    ) -> np.ndarray:
        """Do the same as `match`, but next to no known gene is an error that says what the names look like; see
        `check_known`."""
        names = [str(name) for name in names]
        gene_index = self.match(names)
        self.check_known(names, gene_index, other_columns=other_columns, share_of_counts=share_of_counts)
        return gene_index

    def check_known(
        self,
        names: Sequence[str],
        gene_index: np.ndarray,
        *,
        other_columns: Sequence[str] = (),
        share_of_counts: Callable[[np.ndarray], float] | None = None,
    ) -> None:
        """Refuse data of which next to nothing is known: less than 5 % of the genes and less than 20 % of the counts.

        Args:
            names: names of the data's genes.
            gene_index: their places in the vocabulary, -1 where unknown.
            other_columns: where else the data have names.
            share_of_counts: gives the share of the counts on some genes (bool, one a gene); asked where few genes are
                known. Without it a single known gene is enough.

        Raises:
            ValueError: no gene is known, or too few are; or next to none, and the others are mouse symbols (a few, such
                as C3 and F10, are written alike in both species).
        """
        known = gene_index >= 0
        n_known = int(known.sum())
        mouse_symbols = n_known < 0.1 * len(names) and _looks_like_mouse_symbols(names)
        on_them = ""
        if n_known and not mouse_symbols:
            if n_known >= LEAST_KNOWN_GENES * len(names) or share_of_counts is None:
                return
            share = share_of_counts(known)
            if share >= LEAST_KNOWN_COUNTS:
                return
            on_them = (
                f", with {share:.1%} of the counts (needed are {LEAST_KNOWN_GENES:.0%} or {LEAST_KNOWN_COUNTS:.0%})"
            )
        unknown = [name for name, found in zip(names, known, strict=True) if not found]
        cause = _CAUSES[next(iter(_CAUSES))] if mouse_symbols else _likely_cause(unknown)
        if other_columns and not mouse_symbols:
            column = f"name the column that holds them (--gene-column; this file has {', '.join(other_columns)})"
            cause = f"{cause}; or {column}" if cause and not names[0].isdigit() else column
        shown = ", ".join(map(repr, names[:3]))
        number, verb = (f"Only {n_known}" if n_known else "None"), ("are" if n_known > 1 else "is")
        raise ValueError(
            f"{number} of the {len(names)} genes ({shown}, ...) {verb} in the model's vocabulary{on_them}; "
            f"{cause or 'give human Ensembl ids (ENSG...) or gene symbols'}."
        )

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as a tab-separated text file whose first line is the fingerprint."""
        lines = [f"{_FINGERPRINT_MARK}{self.fingerprint}", "\t".join(_HEADER)]
        for row in zip(self.gene_ids, self.symbols, self.medians, self.synonyms, strict=True):
            gene_id, symbol, median, synonyms = row
            lines.append(f"{gene_id}\t{symbol}\t{float(median)!r}\t{'|'.join(synonyms)}")
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, path: str | Path) -> "GeneVocabulary":
        """Read what `save` wrote.

        Raises:
            ValueError: the file is no gene vocabulary, or its content does not match its own fingerprint.
        """
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        if len(lines) < 2 or not lines[0].startswith(_FINGERPRINT_MARK) or tuple(lines[1].split("\t")) != _HEADER:
            raise ValueError(f"{path} is not a gene vocabulary; expected the columns {', '.join(_HEADER)}.")
        try:
            rows = [line.split("\t") for line in lines[2:]]
            vocabulary = cls(
                gene_ids=[row[0] for row in rows],
                symbols=[row[1] for row in rows],
                medians=np.array([float(row[2]) for row in rows]),
                synonyms=[tuple(filter(None, row[3].split("|"))) for row in rows],
            )
        except (IndexError, ValueError) as error:
            raise ValueError(f"{path} is a damaged gene vocabulary: {error}") from error
        check_same_vocabulary(lines[0].removeprefix(_FINGERPRINT_MARK), vocabulary.fingerprint, str(path), "its genes")
        return vocabulary


def check_same_vocabulary(expected: str, found: str, expected_from: str, found_from: str) -> None:
    """Refuse to mix two gene vocabularies: the same token id would mean another gene.

    Raises:
        ValueError: the fingerprints differ; the message names both.
    """
    if expected != found:
        raise ValueError(
            f"Gene vocabularies differ: {expected_from} has fingerprint {expected[:12]}, {found_from} has "
            f"{found[:12]}; use files that were made with the same gene vocabulary."
        )


def _likely_cause(names: Sequence[str]) -> str:
    """Return what most of some unknown names look like, and what to do; "" where they look like nothing known."""
    looked_at = [name for name in names[:2000] if name]
    counts = {cause: sum(bool(re.fullmatch(form, name)) for name in looked_at) for form, cause in _CAUSES.items()}
    cause = max(counts, key=lambda one: counts[one])
    return cause if 2 * counts[cause] > len(looked_at) else ""


def _looks_like_mouse_symbols(names: Sequence[str]) -> bool:
    # Mouse symbols are written Xkr4, human ones XKR4.
    letters = [name for name in names[:500] if name[:1].isalpha()]
    mouse = sum(name[:1].isupper() and name[1:] == name[1:].lower() and name[1:2].isalpha() for name in letters)
    return bool(letters) and mouse > 0.6 * len(letters)
