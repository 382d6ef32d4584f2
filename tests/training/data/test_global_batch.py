import pytest
import tiny_shards

from langcell.training.data.global_batch import GlobalBatch
from langcell.training.data.streaming import CellBatches, Descriptions, open_shards

SIZE = 4


@pytest.fixture(scope="module")
def open_stream(tmp_path_factory):
    folder = tiny_shards.write_tiny_shards(tmp_path_factory.mktemp("shards") / "cells")
    _, code_maps = Descriptions.read([folder])

    def of(number, streams):
        readers = open_shards([folder], code_maps=code_maps, seed=0, rank=number, world_size=streams)
        options = {"batch_size": SIZE, "window": 3, "max_length": 16, "seed": 0, "rank": number}
        return CellBatches(readers, weights=[1.0], **options)

    return of


def started(open_stream, *, processes, streams=0, positions=None):
    shares = [
        GlobalBatch(open_stream, batch_size=SIZE, streams=streams, rank=rank, processes=processes)
        for rank in range(processes)
    ]
    for share in shares:
        share.start(positions)
    return shares


def take(shares, count):
    """Global batches: what all processes read, in the order of their ranks."""
    return [[(c.input_ids.tolist(), c.description) for share in shares for c in next(share)] for _ in range(count)]


def positions_of(shares):
    merged = {stream: at for share in shares for stream, at in share.state_dict().items()}
    return [merged[stream] for stream in range(len(merged))]


def test_with_as_many_processes_as_streams_each_reads_its_own(open_stream):
    shares = started(open_stream, processes=2)
    assert [list(share.state_dict()) for share in shares] == [[0], [1]]
    expected = [[cell.input_ids.tolist() for cell in next(open_stream(rank, 2))] for rank in range(2)]
    assert [[cell.input_ids.tolist() for cell in next(share)] for share in shares] == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (2, 1),
        (1, 2),
        (2, 3),
        (3, 2),
        pytest.param(2, 8, id="a_cell_on_each"),
        pytest.param(4, 2, id="two_streams_each"),
    ],
)
def test_other_numbers_of_processes_go_on_with_the_same_global_batches(open_stream, before, after):
    shares = started(open_stream, processes=before)
    take(shares, 4)
    positions = positions_of(shares)
    others = started(open_stream, processes=after, positions=positions)
    assert take(others, 7) == take(shares, 7)
    assert positions_of(others) == positions_of(shares)


def test_named_streams_make_a_run_the_same_on_any_number_of_processes(open_stream):
    runs = [take(started(open_stream, processes=processes, streams=2), 5) for processes in (1, 2, 4)]
    assert runs[0] == runs[1] == runs[2]


def test_more_processes_than_cells_is_an_error(open_stream):
    with pytest.raises(ValueError, match=r"A pass has 4 cells \(1 streams of batch.size 4\) for 5 processes"):
        started(open_stream, processes=5, streams=1)
