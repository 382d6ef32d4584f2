import pytest
import tiny_runs
from tiny_shards import DESCRIPTIONS, UNLABELLED, write_tiny_shards

from langcell.training.data import described_cells
from langcell.training.data.described_cells import count_cells, require_descriptions
from langcell.training.data.shard_location import find_all
from langcell.training.data.text_table import Descriptions
from langcell.training.pretrain import main

MIXED = (*DESCRIPTIONS[:2], *UNLABELLED, *DESCRIPTIONS[2:])


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    home = tmp_path_factory.mktemp("shards")
    write_tiny_shards(home / "full")
    write_tiny_shards(home / "mixed", descriptions=MIXED)
    write_tiny_shards(home / "none", descriptions=UNLABELLED, n_cells=70)
    return home


def check(*folders):
    _, code_maps = Descriptions.read(folders)
    require_descriptions(find_all(folders), code_maps)


def ids_of(place):
    return described_cells.pq.read_table(place.files, columns=["description_id"])["description_id"].to_numpy()


def test_every_folder_with_such_cells_is_named_with_their_number(shards):
    (place,) = find_all([shards / "mixed"])
    cells = int((ids_of(place) == 2).sum())
    assert 0 < cells < 180
    with pytest.raises(ValueError, match="Stage 2 needs a description of each cell") as caught:
        check(shards / "full", shards / "mixed", shards / "none")
    said = str(caught.value)
    assert f"{shards / 'mixed'} has {cells} of 180; {shards / 'none'} has 70 of 70." in said
    assert str(shards / "full") not in said
    assert "\n" not in said


def test_a_text_that_no_cell_has_may_be_empty(tmp_path):
    folder = write_tiny_shards(tmp_path / "few", n_cells=2, descriptions=MIXED)
    (place,) = find_all([folder])
    unused = 2 not in ids_of(place)
    assert unused
    check(folder)


def test_what_counts_is_whether_an_id_has_a_text(shards):
    (place,) = find_all([shards / "full"])
    _, (codes,) = Descriptions.read([place.folder])
    del codes[0]
    with pytest.raises(ValueError, match=f"has {int((ids_of(place) == 0).sum())} of 180"):
        require_descriptions([place], [codes])


def test_a_folder_with_all_texts_is_not_opened(shards):
    folders = [shards / "full"]
    (place,) = find_all(folders)
    _, code_maps = Descriptions.read(folders)
    place.files[:] = ["/no/where.parquet"]
    require_descriptions([place], code_maps)


@pytest.mark.parametrize("ids", [[0], [4], [1, 3], [0, 1, 2, 3, 4], [7]], ids=str)
def test_cells_are_counted(shards, ids):
    (place,) = find_all([shards / "full"])
    assert count_cells(place.files, ids) == sum(int((ids_of(place) == number).sum()) for number in ids)


def test_stage_2_is_refused_before_its_first_step_and_stage_1_runs(tmp_path, shards, tiny_model_dir, capsys):
    def arguments(stage):
        return tiny_runs.arguments(
            stage, tmp_path / str(stage), "steps=1", model=tiny_model_dir, shards=shards / "mixed"
        )

    assert main(arguments(2)) == 2
    assert f"Cells without one: {shards / 'mixed'} has " in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "2").exists()
    assert main(arguments(1)) == 0
