"""Gene vocabulary: which genes a model knows, in which order, and how each is named and scaled."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

VOCABULARY_FILE = "gene_vocabulary.tsv"
_HEADER = ("gene_id", "symbol", "median", "synonyms")
_FINGERPRINT_MARK = "# fingerprint sha256:"
_VERSION_SUFFIX = re.compile(r"^(ENS[A-Z]*G\d+)\.\d+$")
_MOUSE_GENE = re.compile(r"^ENSMUSG\d+(\.\d+)?$")


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
    def _index(self) -> dict[str, int]:
        # Ids win over symbols, symbols over synonyms; among equals the first gene wins, so that a lookup never
        # depends on anything but the vocabulary's own order.
        index = {gene_id: i for i, gene_id in enumerate(self.gene_ids)}
        for i, symbol in enumerate(self.symbols):
            if symbol:
                index.setdefault(symbol, i)
        for i, names in enumerate(self.synonyms):
            for name in names:
                index.setdefault(name, i)
        return index

    def match(self, names: Sequence[str]) -> np.ndarray:
        """Index of each name in the vocabulary, -1 where unknown.

        Args:
            names: Ensembl ids with or without version, symbols, or a mix of them.

        Returns:
            int64 array, shape (len(names),).
        """
        index = self._index
        found = (index.get(name, index.get(strip_version(name), -1)) for name in map(str, names))
        return np.fromiter(found, dtype=np.int64, count=len(names))

    def require_known(self, names: Sequence[str], *, other_columns: Sequence[str] = ()) -> np.ndarray:
        """Like `match`, but no known gene at all is an error that says what the names look like.

        Raises:
            ValueError: none of the names is in the vocabulary, or next to none and the others are mouse symbols (a few,
                such as C3 and F10, are written alike in both species).
        """
        names = [str(name) for name in names]
        gene_index = self.match(names)
        n_known = int((gene_index >= 0).sum())
        mouse_symbols = n_known < 0.1 * len(names) and _looks_like_mouse_symbols(names)
        if n_known and not mouse_symbols:
            return gene_index
        shown = ", ".join(map(repr, names[:3]))
        if mouse_symbols or any(_MOUSE_GENE.match(name) for name in names[:200]):
            reason = "these look like mouse genes, and this model knows human genes: map them to human orthologs first"
        elif other_columns:
            reason = f"name the column that holds them (--gene-column; this file has {', '.join(other_columns)})"
        else:
            reason = "give human Ensembl ids (ENSG...) or gene symbols"
        known = f"Only {n_known}" if n_known else "None"
        verb = "are" if n_known > 1 else "is"
        raise ValueError(
            f"{known} of the {len(names)} genes ({shown}, ...) {verb} in the model's vocabulary; {reason}."
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


def _looks_like_mouse_symbols(names: Sequence[str]) -> bool:
    # Mouse symbols are written Xkr4, human ones XKR4.
    letters = [name for name in names[:500] if name[:1].isalpha()]
    mouse = sum(name[:1].isupper() and name[1:] == name[1:].lower() and name[1:2].isalpha() for name in letters)
    return bool(letters) and mouse > 0.6 * len(letters)
