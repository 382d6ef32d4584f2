from pathlib import Path

import pytest

from langcell.loading.hub_folders import folder_or_download, is_hub_id


def test_a_folder_is_taken_as_it_is(tmp_path):
    assert folder_or_download(tmp_path, "the model") == tmp_path
    assert folder_or_download(str(tmp_path), "the model") == tmp_path


@pytest.mark.parametrize("place", ["/absent", "./absent", "~/absent", "a/b/c", Path("/absent")])
def test_what_is_a_path_is_not_looked_for_on_the_hub(place):
    with pytest.raises(ValueError, match=r"is no folder; give the folder of the model, or its Hub id \(org/name\)"):
        folder_or_download(place, "the model")


def test_a_repository_that_cannot_be_reached_is_one_line():
    with pytest.raises(ValueError, match="org/absent is neither a folder here nor can it be downloaded") as error:
        folder_or_download("org/absent", "the model")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("org/model", True), ("model", False), ("./model", False), ("/model", False), ("a/b/c", False), ("a/b+c", False)],
)
def test_ids_on_the_hub(name, expected):
    assert is_hub_id(name) == expected
