"""Gene vocabularies as files: the table that models carry, or JSON that also says where each gene comes from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.genes import GeneVocabulary, check_same_vocabulary

_FORMAT = "langcell gene vocabulary"


def write_vocabulary(
    vocabulary: GeneVocabulary,
    path: str | Path,
    *,
    genes: Sequence[Mapping[str, Any]] | None = None,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write a vocabulary, whole or not at all: as JSON where the name ends in `.json`, else as `GeneVocabulary.save`.

    Args:
        vocabulary: what to write.
        path: where to.
        genes: for each gene what else JSON shall say of it, such as the number of cells that it was found in.
        origin: what JSON shall say of the whole, such as the sources.
    """
    with atomic_output(path) as temporary:
        if Path(path).suffix != ".json":
            vocabulary.save(temporary)
            return
        more = genes if genes is not None else [{}] * len(vocabulary)
        columns = (vocabulary.gene_ids, vocabulary.symbols, vocabulary.synonyms, vocabulary.medians, more)
        rows = [
            {"gene_id": gene_id, "symbol": symbol, "synonyms": list(synonyms), "median": float(median), **extra}
            for gene_id, symbol, synonyms, median, extra in zip(*columns, strict=True)
        ]
        head = {"format": _FORMAT, "fingerprint": vocabulary.fingerprint, **(origin or {})}
        temporary.write_text(json.dumps({**head, "genes": rows}, indent=1) + "\n", encoding="utf-8", newline="\n")


def read_vocabulary(path: str | Path) -> GeneVocabulary:
    """Read a vocabulary that `write_vocabulary` or `GeneVocabulary.save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no gene vocabulary, or its content does not match its own fingerprint.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}; give a gene vocabulary, such as langcell genes fit writes")
    if path.suffix != ".json":
        return GeneVocabulary.load(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = content["genes"]
        vocabulary = GeneVocabulary(
            gene_ids=[row["gene_id"] for row in rows],
            medians=np.array([row["median"] for row in rows], dtype=np.float64),
            symbols=[row["symbol"] for row in rows],
            synonyms=[tuple(row["synonyms"]) for row in rows],
        )
        fingerprint = str(content["fingerprint"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is no gene vocabulary, or a damaged one: {error}") from error
    check_same_vocabulary(fingerprint, vocabulary.fingerprint, str(path), "its genes")
    return vocabulary
