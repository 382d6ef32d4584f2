import re
from pathlib import Path

import pandas as pd
import pytest
import tiny
import tiny_sources

from langcell.processing.ontology.terms import Ontology
from langcell.processing.sources.cell_metadata import METADATA_COLUMNS
from langcell.processing.sources.open_source import find_sources
from langcell.processing.tokenization.plan import Plan, TokenizeOptions, make_plan


def plan_of(*paths: Path, skip_unfit: bool = False, **options) -> Plan:
    return make_plan(
        find_sources(paths),
        tiny.tiny_vocabulary(),
        options=TokenizeOptions(**options),
        ontology=Ontology.cellxgene(),
        work=paths[0].parent / "work",
        skip_unfit=skip_unfit,
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


def with_new_ids(folder: Path) -> Path:
    """Five cells of a type and ten of a tissue that the ontologies do not have, and an obsolete type."""
    adata = tiny_sources.adata_of()
    types = ["CL:0000236"] * 60
    types[:5], types[5] = ["CL:4099999"] * 5, "CL:0000003"
    adata.obs["cell_type_ontology_term_id"] = types
    adata.obs["cell_type"] = ["newly found cell" if each == "CL:4099999" else "B cell" for each in types]
    adata.obs["tissue_ontology_term_id"] = ["UBERON:9999999"] * 10 + ["UBERON:0000178"] * 50
    adata.obs["is_primary_data"] = True
    adata.write_h5ad(folder / "new.h5ad")
    return folder / "new.h5ad"


UNKNOWN = {("cell_type_ontology_term_id", "CL:4099999"): 5, ("tissue_ontology_term_id", "UBERON:9999999"): 10}


@pytest.mark.parametrize("policy", ["drop", "keep-name"])
def test_unknown_ids_are_left_out_or_named_and_counted(policy: str, tmp_path: Path) -> None:
    made = plan_of(with_new_ids(tmp_path), on_unknown_id=policy)
    assert made.sources[0].unknown_ids == UNKNOWN
    texts = " ".join(description.text for description in made.descriptions)
    assert ("cell type: newly found cell; " in texts) == (policy == "keep-name")
    assert "CL:4099999" not in texts
    assert "tissue: blood" in texts


def test_all_unknown_ids_of_all_sources_are_said_at_once(tmp_path: Path, path: Path) -> None:
    new = with_new_ids(tmp_path)
    odd = tmp_path / "odd.h5ad"
    adata = tiny_sources.adata_of()
    adata.obs["is_primary_data"] = "maybe"
    adata.write_h5ad(odd)
    with pytest.raises(ValueError, match="2 of 3 sources cannot be used") as error:
        plan_of(path, new, odd)
    said = str(error.value)
    assert re.search(r"new\.h5ad: cell_type_ontology_term_id: Unknown ontology id 'CL:4099999'.*\(5 cells\)", said)
    assert re.search(r"tissue_ontology_term_id: Unknown ontology id 'UBERON:9999999'.*\(10 cells\)", said)
    assert "--on-unknown-id drop" in said
    assert "odd.h5ad: obs['is_primary_data'] holds 'maybe'" in said


def test_unfit_sources_can_be_skipped(tmp_path: Path, path: Path) -> None:
    new = with_new_ids(tmp_path)
    made, alone = plan_of(new, path, skip_unfit=True), plan_of(path)
    assert [name for name, _ in made.skipped] == ["new.h5ad"]
    assert made.summary() == alone.summary()
    assert made.description_ids == alone.description_ids
    with pytest.raises(ValueError, match="CL:4099999"):
        plan_of(new, skip_unfit=True)


def test_cells_that_no_mark_speaks_of_are_kept_and_counted(tmp_path: Path) -> None:
    adata = tiny_sources.adata_of()
    adata.obs["is_primary_data"] = pd.array([True] * 30 + [False] * 10 + [None] * 20, dtype="boolean")
    adata.write_h5ad(tmp_path / "cells.h5ad")
    made = plan_of(tmp_path / "cells.h5ad")
    assert made.sources[0].unmarked == 20


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
