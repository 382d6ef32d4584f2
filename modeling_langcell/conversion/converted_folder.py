"""A released checkpoint as a complete Hub folder: weights, processor, code, self-test, card and manifest."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from langcell.conversion.convert import ReleasedCheckpoint, build_model, read_released
from langcell.conversion.self_test import write_self_test
from langcell.conversion.verify import verify, write_manifest
from langcell.loading.weight_files import require_new_folder, sha256_of
from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.genes import GeneVocabulary
from langcell.processing.processing_langcell import LangCellProcessor
from langcell.processing.vocabulary.geneformer import is_published_v1, read_geneformer_v1

logger = logging.getLogger(__name__)

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
# The released code adds [DEC] and [ENC] to PubMedBERT's vocabulary and never uses them to name cells.
_TOKENS_ADDED_AT_RELEASE = 2


@dataclass(frozen=True, kw_only=True)
class ConversionSources:
    """What a user has on the disk.

    Attributes:
        released: folder with the five parts.
        token_dictionary: Geneformer V1's, pickle.
        gene_medians: Geneformer V1's, pickle.
        gene_names: Geneformer V1's, pickle; without it, cells need Ensembl ids.
        text_tokenizer: folder or Hub id of the text encoder's tokenizer (PubMedBERT's).
    """

    released: Path
    token_dictionary: Path
    gene_medians: Path
    gene_names: Path | None = None
    text_tokenizer: str


def convert_released(sources: ConversionSources, output: str | Path) -> list[str]:
    """Write a Hub folder that `AutoModel.from_pretrained(..., trust_remote_code=True)` loads.

    Before it appears, the folder is verified in a fresh process.

    Args:
        sources: the released files and what belongs to them.
        output: a new folder; it appears whole or not at all.

    Returns:
        Remarks that the user should read; they also stand in the card.

    Raises:
        ValueError: the sources are incomplete, damaged, or do not belong together, or the output holds anything.
    """
    from langcell.hub_cards.cards.cards import converted_model_card

    require_new_folder(output)
    vocabulary = read_geneformer_v1(sources.token_dictionary, sources.gene_medians, sources.gene_names)
    released = read_released(sources.released, vocabulary)
    tokenizer = load_text_tokenizer(sources.text_tokenizer, n_rows=released.config.text_config.vocab_size)
    processor = released_processor(released, vocabulary, tokenizer)
    remarks = _remarks(released, vocabulary, tokenizer, has_names=sources.gene_names is not None)
    facts = {
        "made_by": f"langcell {version('langcell')}",
        "command": _command(sources),
        "sources": {name: _fingerprint(path) for name, path in _source_files(sources, released).items()},
        "text_tokenizer": _short_name(sources.text_tokenizer),
        "has_gene_names": sources.gene_names is not None,
        "vocabulary": {
            "fingerprint": vocabulary.fingerprint,
            "genes": len(vocabulary),
            "published_geneformer_v1": is_published_v1(vocabulary),
        },
        "tensors": {"converted": len(released.tensors), "left_out": released.ignored, "added_cls": released.added_cls},
        "remarks": remarks,
    }
    with atomic_output(output) as building:
        model = build_model(released)
        model.save_pretrained(building)
        processor.save_pretrained(building)
        write_self_test(building, model, processor)
        del model, released
        converted_model_card(Path(output).resolve().name, facts).save(building / "README.md")
        write_manifest(building, facts)
        if differences := verify(building):
            raise ValueError(f"The converted folder failed its own test and was not kept: {'; '.join(differences)}.")
    return remarks


def released_processor(
    released: ReleasedCheckpoint, vocabulary: GeneVocabulary, tokenizer: PreTrainedTokenizerBase
) -> LangCellProcessor:
    """Return the processor that feeds the released model as its authors did: of duplicate genes the first column
    counts."""
    config = released.config
    extractor = LangCellFeatureExtractor(
        vocabulary, max_length=config.cell_config.max_position_embeddings, duplicates="first"
    )
    return LangCellProcessor(extractor, tokenizer, max_text_length=config.text_config.max_position_embeddings)


def load_text_tokenizer(place: str, *, n_rows: int) -> PreTrainedTokenizerBase:
    """Return a BERT tokenizer that the text encoder's table can serve.

    Raises:
        ValueError: it cannot be loaded, is none of BERT's, or has more tokens than the table has rows.
    """
    if (place.count("/") > 1 or place.startswith((".", "/", "~"))) and not Path(place).is_dir():
        raise ValueError(f"{place} is no folder; give a tokenizer's folder or a Hub id (org/name).")
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        raise ValueError(f"{place} is no tokenizer that loads ({' '.join(str(error).split())[:200]}).") from error
    ends = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    ids = tokenizer("cell").input_ids
    if not tokenizer.is_fast or None in ends or (ids[0], ids[-1]) != ends:
        raise ValueError(f"{place} is no BERT tokenizer of the tokenizers library; texts must read [CLS] ... [SEP].")
    if len(tokenizer) > n_rows:
        raise ValueError(
            f"{place} has {len(tokenizer):,} tokens, the text encoder only {n_rows:,} rows; give the tokenizer that "
            "the checkpoint was trained with (the released LangCell: PubMedBERT's)."
        )
    return tokenizer


def _remarks(
    released: ReleasedCheckpoint, vocabulary: GeneVocabulary, tokenizer: PreTrainedTokenizerBase, *, has_names: bool
) -> list[str]:
    rows = released.config.text_config.vocab_size
    remarks = []
    if released.added_cls:
        remarks.append(
            "The checkpoint had no row for <cls>; a fresh, untrained one was added. Cell embeddings are read from it, "
            "so train the model before using them."
        )
    if not is_published_v1(vocabulary):
        remarks.append(
            "Genes and medians are not exactly those that Geneformer V1 published; the released weights need these."
        )
    if len(tokenizer) not in (rows, rows - _TOKENS_ADDED_AT_RELEASE):
        remarks.append(
            f"The text tokenizer has {len(tokenizer):,} tokens, the text encoder {rows:,} rows: make sure that it is "
            "the one that the checkpoint was trained with."
        )
    if not has_names:
        remarks.append("Converted without gene names: cells need Ensembl ids.")
    for remark in remarks:
        logger.warning("%s", remark)
    return remarks


def _source_files(sources: ConversionSources, released: ReleasedCheckpoint) -> dict[str, Path]:
    """Return every file that was read, under a name that says nothing about where it lay."""
    dictionaries = [sources.token_dictionary, sources.gene_medians, sources.gene_names]
    files = dict(released.files) | {Path(path).name: Path(path) for path in dictionaries if path is not None}
    tokenizer = Path(sources.text_tokenizer)
    for name in _TOKENIZER_FILES:
        if (tokenizer / name).is_file():
            files[f"{tokenizer.resolve().name}/{name}"] = tokenizer / name
    return files


def _fingerprint(path: Path) -> Mapping[str, Any]:
    return {"sha256": sha256_of(path), "bytes": path.stat().st_size}


def _short_name(place: str) -> str:
    """Return a Hub id as it is, a folder without its parents."""
    return Path(place).resolve().name if Path(place).is_dir() else place


def _command(sources: ConversionSources) -> str:
    """Return the command that makes this folder, with file names alone."""
    words = [
        f"langcell convert {sources.released.resolve().name} OUT_DIR",
        f"--token-dictionary {sources.token_dictionary.name}",
        f"--gene-medians {sources.gene_medians.name}",
    ]
    if sources.gene_names is not None:
        words.append(f"--gene-names {sources.gene_names.name}")
    return " ".join([*words, f"--text-tokenizer {_short_name(sources.text_tokenizer)}"])
