from pathlib import Path

import pytest
import tiny
import tiny_sources

from langcell.processing.ontology.terms import Ontology
from langcell.processing.sources.cell_metadata import METADATA_COLUMNS
from langcell.processing.sources.open_source import find_sources
from langcell.processing.tokenization.plan import Plan, TokenizeOptions, make_plan


def plan_of(*paths: Path, **options) -> Plan:
    return make_plan(
        find_sources(paths),
        tiny.tiny_vocabulary(),
        options=TokenizeOptions(**options),
        ontology=Ontology.cellxgene(),
        work=paths[0].parent / "work",
        progress=False,
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tiny_sources.write_h5ad(tmp_path_factory.mktemp("source") / "cells.h5ad", 100)


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    return tiny_sources.write_h5ad(tmp_path_factory.mktemp("other") / "other.h5ad", 30, seed=1)


@pytest.mark.parametrize(
    ("options", "ranges"),
    [
        # Rows 3, 7, 11, ... are duplicates: a shard of 30 cells takes about 40 rows.
        pytest.param({"cells_per_shard": 30}, [(0, 39), (39, 79), (79, 100)], id="duplicates_take_no_room"),
        pytest.param({"cells_per_shard": 40, "keep_duplicates": True}, [(0, 40), (40, 80), (80, 100)], id="kept"),
        pytest.param({"cells_per_shard": 75}, [(0, 99), (99, 100)], id="a_last_duplicate"),
        pytest.param({"cells_per_shard": 1_000}, [(0, 100)], id="one"),
    ],
)  # fmt: skip
def test_shards_cover_all_rows(path: Path, options: dict, ranges: list[tuple[int, int]]) -> None:
    plan = plan_of(path, **options)
    assert [(shard.start, shard.stop) for shard in plan.shards] == ranges
    assert [shard.number for shard in plan.shards] == list(range(len(ranges)))
    assert all(shard.read == shard.stop - shard.start for shard in plan.shards)
    assert plan.total_cells == 100


def test_mostly_duplicates(tmp_path: Path) -> None:
    adata = tiny_sources.adata_of(100)
    adata.obs["is_primary_data"] = [row == 50 for row in range(100)]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    shards = plan_of(tmp_path / "cells.h5ad", cells_per_shard=4).shards
    assert [(shard.start, shard.stop) for shard in shards] == [(0, 40), (40, 80), (80, 100)]


def test_texts_are_shared_by_sources(path: Path, other: Path) -> None:
    plan = plan_of(path, other)
    texts = [description.text for description in plan.descriptions]
    assert len(set(texts)) == len(texts)
    assert {description.cell_type_ontology_term_id for description in plan.descriptions} == {
        "CL:0000236",
        "CL:0000084",
        "",
    }
    for ids in plan.description_ids:
        for metadata, text_id in ids.items():
            row = dict(zip(METADATA_COLUMNS, metadata, strict=True))
            known = row["cell_type_ontology_term_id"] != "unknown"
            assert texts[text_id].startswith("cell type: " if known else "tissue: blood. ")
    assert [shard.source for shard in plan.shards] == [0, 1]


def test_the_plan_follows_from_contents_and_options(path: Path, other: Path, tmp_path: Path) -> None:
    copy = tmp_path / "cells.h5ad"
    copy.write_bytes(path.read_bytes())
    assert plan_of(copy, other).sha256 == plan_of(path, other).sha256
    assert plan_of(path, other, min_genes=5).sha256 != plan_of(path, other).sha256
    assert plan_of(other, path).sha256 != plan_of(path, other).sha256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"max_length": 1}, "max_length is 1; give at least 2", id="length"),
        pytest.param({"cells_per_shard": 0}, "cells_per_shard is 0", id="cells"),
        pytest.param({"min_genes": -1}, "min_genes is -1", id="genes"),
        pytest.param({"duplicate_genes": "last"}, "duplicate_genes is 'last'; legal are", id="duplicates"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenizeOptions(**options)


def test_what_is_wrong_with_a_source_names_it(tmp_path: Path, path: Path) -> None:
    adata = tiny_sources.adata_of()
    adata.obs["cell_type_ontology_term_id"] = "CL:9999999"
    adata.write_h5ad(tmp_path / "odd.h5ad")
    with pytest.raises(ValueError, match=r"odd\.h5ad: cell_type_ontology_term_id: Unknown ontology id 'CL:9999999'"):
        plan_of(path, tmp_path / "odd.h5ad")
    adata.var_names = [f"Xkr{i}" for i in range(adata.n_vars)]
    adata.write_h5ad(tmp_path / "mouse.h5ad")
    with pytest.raises(ValueError, match="mouse"):
        plan_of(tmp_path / "mouse.h5ad")
    with pytest.raises(ValueError, match="No source of cells"):
        make_plan([], tiny.tiny_vocabulary(), options=TokenizeOptions(), ontology=Ontology.cellxgene(), work=tmp_path)
