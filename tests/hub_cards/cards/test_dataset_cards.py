"""Cards of shard folders: what is known stands there, and what is not is left out."""

import shutil

import numpy as np
import pytest
import tiny
import tiny_sources
import yaml
from datasets import load_dataset
from huggingface_hub import DatasetCard

from langcell.hub_cards.cards.dataset_cards import dataset_card, write_dataset_card
from langcell.processing.shards.counts import ShardCounts
from langcell.processing.shards.manifest import FileRecord, Manifest, read_manifest, verify
from langcell.processing.shards.writer import read_descriptions
from langcell.processing.sources.open_source import find_sources
from langcell.processing.tokenization.tokenize import tokenize

COUNTS = ShardCounts(
    np.array([0, 0, 5, 5]),
    {
        "tissue": {"blood": 7, "lung | left": 3},
        "cell type": {f"type {i}": 60 - i for i in range(60)},
        "sex": {"male": 1},
    },
)
COLUMNS = ["input_ids", "length", "disease_ontology_term_id"]


def manifest(**changes) -> Manifest:
    values = {
        "schema_version": 2,
        "vocabulary_fingerprint": "abcdef",
        "max_length": 2048,
        "total_cells": 1_234_567,
        "shards": (FileRecord("data/train-00000.parquet", "00", 1_234_567, 9_876_543),),
        "descriptions": FileRecord("descriptions.parquet", "11", 321),
        "sources": (
            {"name": "a.h5ad", "sha256": "c0ffee", "read": 12, "written": 10},
            {"name": "b.h5ad", "sha256": "decade", "read": 5, "written": 5, "licence": "CC BY 4.0"},
        ),
    }
    return Manifest(**{**values, **changes})


def test_a_card_says_what_is_known():
    card = dataset_card(
        "org/cells", manifest(), COUNTS, columns=COLUMNS, summary="Blood.", license_id="cc-by-4.0", licence="As given."
    )
    for text in (
        "# cells\n\nBlood.\n",
        "1,234,567 cells as lists",
        "`abcdef`",
        'load_dataset("org/cells", "descriptions"',
        "| `disease_ontology_term_id` | ontology id |",
        "## Cells by tissue\n\n| tissue | cells |\n|---|---:|\n| blood | 7 |\n| lung \\| left | 3 |\n",
        "and 10 more, in 55 cells.",
        "| source | cells | licence | sha256 |\n|---|---|---|---|\n| a.h5ad | 10 of 12 |  | `c0ffee` |\n",
        "| b.h5ad | 5 | CC BY 4.0 | `decade` |\n",
        "## Licence\n\nAs given.\n",
    ):
        assert text in card.text, text
    assert card.text.index("by tissue") < card.text.index("by cell type")
    assert "by sex" not in card.text
    assert (card.data.license, card.data.size_categories) == ("cc-by-4.0", ["1M<n<10M"])


def test_what_is_not_known_is_left_out():
    bare = manifest(sources=({"name": "a.h5ad"},), total_cells=5)
    card = dataset_card("org/cells", bare, ShardCounts(COUNTS.lengths, {}), columns=COLUMNS)
    for text in ("Licence", "Cells by", "licence", "sha256", "None", "simulated"):
        assert text not in card.text, text
    assert "| source |\n|---|\n| a.h5ad |\n" in card.text
    assert "license" not in yaml.safe_load(card.content.split("---")[1])
    assert "## Sources" not in dataset_card("o/c", manifest(sources=()), COUNTS, columns=COLUMNS).text


def test_simulated_cells_are_called_so():
    card = dataset_card("org/cells", manifest(simulation={"seed": 0}), COUNTS, columns=COLUMNS, title="Made up")
    assert "# Made up" in card.text
    assert "1,234,567 simulated cells" in card.text


@pytest.mark.parametrize(("cells", "size"), [(999, "n<1K"), (27_500_000, "10M<n<100M"), (2 * 10**9, "n>1B")])
def test_sizes(cells, size):
    card = dataset_card("org/cells", manifest(total_cells=cells), COUNTS, columns=COLUMNS)
    assert card.data.size_categories == [size]


# Written into a folder


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    specs = find_sources([tiny_sources.write_h5ad(folder / "a.h5ad")])
    tokenize(specs, folder / "shards", tiny.tiny_vocabulary(), options=tiny_sources.OPTIONS, progress=False)
    return folder / "shards"


@pytest.fixture
def folder(tokenized, tmp_path):
    return shutil.copytree(tokenized, tmp_path / "shards")


def test_the_written_card_counts_the_cells(folder):
    card = DatasetCard.load(write_dataset_card(folder, "org/cells", license_id="cc-by-4.0", progress=False))
    for heading in ("tissue", "disease", "assay", "cell type"):
        assert f"## Cells by {heading}" in card.text
    assert "| a.h5ad | " in card.text
    assert verify(folder) == []


@pytest.mark.parametrize("streaming", [True, False])
def test_load_dataset_reads_cells_and_descriptions(folder, tmp_path, streaming):
    write_dataset_card(folder, "org/cells", progress=False)
    options = {"split": "train", "streaming": streaming, "cache_dir": str(tmp_path / "cache")}
    cells, texts = (list(load_dataset(str(folder), *name, **options)) for name in ((), ("descriptions",)))
    assert len(cells) == read_manifest(folder).total_cells
    assert all(len(cell["input_ids"]) == cell["length"] for cell in cells)
    assert [row["text"] for row in texts] == [description.text for description in read_descriptions(folder)]
    assert list(load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))) == ["train"]


def test_preparing_twice_gives_the_same_card(folder):
    write_dataset_card(folder, "org/cells", progress=False)
    first = (folder / "README.md").read_bytes()
    write_dataset_card(folder, "org/cells", progress=False)
    assert (folder / "README.md").read_bytes() == first


def test_damaged_shards_get_no_card(folder):
    (folder / "data" / "train-00000.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"train-00000\.parquet has changed"):
        write_dataset_card(folder, "org/cells", progress=False)
    assert not (folder / "README.md").exists()


def test_no_card_for_what_is_no_id(folder):
    with pytest.raises(ValueError, match="is no Hub id"):
        write_dataset_card(folder, "org/ce lls", progress=False)
    assert not (folder / "README.md").exists()
