"""The card of a folder of shards as a dataset on the Hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from huggingface_hub import DatasetCard, DatasetCardData

from langcell.hub_cards.cards.cards import fill_template
from langcell.hub_cards.cards.repository_kinds import CARD_FILE, check_repo_id
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.ontology.terms import Ontology
from langcell.processing.shards.counts import ShardCounts, count_shards
from langcell.processing.shards.manifest import Manifest, read_manifest, verify

_TAGS = ["langcell", "single-cell", "transcriptomics", "biology"]
ASPECTS = ("tissue", "disease", "assay", "cell type")
"""What the card counts cells by."""
_MOST_ROWS = 50
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))  # fmt: skip
_MEANINGS = {
    "input_ids": "ranked gene ids, `<cls>` first",
    "length": "number of ids",
    "description_id": "row of the cell's text in the configuration `descriptions`",
    "source": "where the cell comes from",
    "row": "row of the cell in its source; of a Census its `soma_joinid`",
    "suspension_type": "cell or nucleus",
}
_SOURCE_COLUMNS = ("cells", "licence", "sha256")


def write_dataset_card(
    folder: str | Path,
    repo_id: str,
    *,
    title: str | None = None,
    summary: str | None = None,
    license_id: str | None = None,
    licence: str | None = None,
    progress: bool = True,
) -> Path:
    """Check a folder of shards and write its card, `README.md`, into it.

    With the card `datasets.load_dataset(folder)` reads the cells, and `load_dataset(folder, "descriptions")` the texts.

    Args:
        folder: finished shards.
        repo_id: repo id of the dataset, such as `org/cells`.
        title, summary, license_id, licence: for the card, see `dataset_card`.
        progress: show a progress bar.

    Returns:
        Path of the card.

    Raises:
        ValueError: the id is none, or the shards are not finished or not what their manifest says.
    """
    folder = Path(folder)
    check_repo_id(repo_id)
    manifest = read_manifest(folder)
    if problems := verify(folder):
        raise ValueError(f"{folder} is not what its manifest says: {'; '.join(problems[:3])}. Write the shards again.")
    counts = count_shards(folder, ontology=Ontology.cellxgene(), aspects=ASPECTS, progress=progress)
    columns = pq.read_schema(manifest.shard_paths(folder)[0]).names if manifest.shards else []
    card = dataset_card(
        repo_id,
        manifest,
        counts,
        columns=columns,
        title=title,
        summary=summary,
        license_id=license_id,
        licence=licence,
    )
    with atomic_output(folder / CARD_FILE) as temporary:
        temporary.write_text(card.content, encoding="utf-8", newline="\n")
    return folder / CARD_FILE


def dataset_card(
    dataset_id: str,
    manifest: Manifest,
    counts: ShardCounts,
    *,
    columns: Sequence[str],
    title: str | None = None,
    summary: str | None = None,
    license_id: str | None = None,
    licence: str | None = None,
) -> DatasetCard:
    """Return the card; what is not given or not known is left out of it.

    Its metadata tell `datasets` and the Hub's viewer which files are cells and which are descriptions.

    Args:
        dataset_id: Hub id, as people will write it.
        manifest: manifest of the shards.
        counts: counts of their cells.
        columns: columns of the cell files.
        title: heading; the last part of the id if not given.
        summary: a sentence or two on what these cells are.
        license_id: the Hub's identifier, such as "cc-by-4.0".
        licence: the licences of the sources in words.
    """
    title = title or dataset_id.rpartition("/")[2]
    metadata = DatasetCardData(
        license=license_id,
        pretty_name=title,
        tags=list(_TAGS),
        size_categories=[next((size for most, size in _SIZES if manifest.total_cells < most), "n>1B")],
        configs=[
            {"config_name": "cells", "data_files": _train("data/train-*.parquet"), "default": True},
            {"config_name": "descriptions", "data_files": _train(manifest.descriptions.path)},
        ],
    )
    sources = [_source(source) for source in manifest.sources]
    values = {
        "title": title,
        "summary": summary,
        "dataset_id": dataset_id,
        "cells": manifest.total_cells,
        "simulated": manifest.simulation is not None,
        "tokens": sum(shard.tokens for shard in manifest.shards),
        "median_length": counts.length_at(0.5),
        "max_length": manifest.max_length,
        "descriptions": manifest.descriptions.rows,
        "shards": len(manifest.shards),
        "fingerprint": manifest.vocabulary_fingerprint,
        "columns": [(name, _MEANINGS.get(name, "ontology id")) for name in columns],
        "tables": [_table(aspect, counts.aspects[aspect]) for aspect in ASPECTS if aspect in counts.aspects],
        "sources": sources,
        "source_columns": [name for name in _SOURCE_COLUMNS if any(source[name] for source in sources)],
        "licence": licence or (f"`{license_id}`" if license_id else None),
    }
    return DatasetCard(f"---\n{metadata.to_yaml()}\n---\n\n{fill_template('dataset_card.md', values)}")


def _train(path: str) -> list[dict[str, str]]:
    return [{"split": "train", "path": path}]


def _table(aspect: str, names: Mapping[str, int]) -> dict[str, Any]:
    """Return the most frequent names of an aspect, and how many there are besides."""
    rows = [(_cell(name), cells) for name, cells in names.items()]
    hidden = rows[_MOST_ROWS:]
    return {
        "aspect": aspect,
        "rows": rows[:_MOST_ROWS],
        "more": len(hidden),
        "more_cells": sum(cells for _, cells in hidden),
    }


def _source(source: Mapping[str, Any]) -> dict[str, str]:
    """One source as text; "" for what is not known of it."""
    written, read, digest = source.get("written"), source.get("read"), source.get("sha256")
    cells = "" if written is None else f"{written:,}"
    return {
        "name": _cell(str(source.get("name", "not named"))),
        "cells": f"{cells} of {read:,}" if cells and read not in (None, written) else cells,
        "licence": _cell(str(source.get("licence") or source.get("license") or "")),
        "sha256": f"`{digest}`" if digest else "",
    }


def _cell(text: str) -> str:
    """Text in a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
