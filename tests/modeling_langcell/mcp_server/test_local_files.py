import pytest

from langcell.mcp_server.local_files import LocalFiles


@pytest.fixture
def files(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "cells.h5ad").write_bytes(b"cells")
    (tmp_path / "secret.h5ad").write_bytes(b"other")
    return LocalFiles.under(tmp_path / "shared")


def test_a_file_of_the_folder_is_found_by_its_relative_or_full_path(files):
    assert files.to_read("cells.h5ad").read_bytes() == b"cells"
    assert files.to_read(str(files.root / "cells.h5ad")) == files.to_read("cells.h5ad")
    assert files.name(files.to_read("cells.h5ad")) == "cells.h5ad"


@pytest.mark.parametrize("path", ["../secret.h5ad", "a/../../secret.h5ad", "/etc/hostname", "hf://datasets/org/cells"])
def test_every_path_outside_is_refused(files, path):
    for use in (files.to_read, files.to_write):
        with pytest.raises(ValueError, match="outside the shared folder"):
            use(path)


def test_a_link_that_leads_outside_is_refused(files):
    (files.root / "link.h5ad").symlink_to(files.root.parent / "secret.h5ad")
    with pytest.raises(ValueError, match="outside the shared folder"):
        files.to_read("link.h5ad")


def test_a_missing_file_names_what_is_there(files):
    with pytest.raises(ValueError, match=r"There is no cell\.h5ad in the shared folder; it has cells\.h5ad\."):
        files.to_read("cell.h5ad")


def test_nothing_is_overwritten(files):
    with pytest.raises(ValueError, match="exists already"):
        files.to_write("cells.h5ad")
    with pytest.raises(ValueError, match="There is no folder"):
        files.to_write("results/named.h5ad")
    assert files.to_write("named.h5ad") == files.root / "named.h5ad"


def test_the_root_is_a_folder(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        LocalFiles.under(tmp_path / "nowhere")
