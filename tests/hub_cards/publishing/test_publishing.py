"""Folders that are published, and folders that are not, with the reason in one line."""

import shutil

import pytest
import tiny_shards

from langcell.hub_cards.cards.folder_cards import CardOptions, write_card
from langcell.hub_cards.cards.repository_kinds import MODEL, SHARDS
from langcell.hub_cards.publishing.publishing import prepare_upload

NAME = "org/langcell"
OPTIONS = CardOptions(license_id="mit", data="Random numbers.")


@pytest.fixture
def model(tiny_model_dir, tmp_path):
    """A model with a card; what is refused is refused before it is loaded."""
    folder = shutil.copytree(tiny_model_dir, tmp_path / "mine")
    write_card(folder, "org/elsewhere", MODEL, OPTIONS)
    return folder


def test_a_whole_model_is_prepared_and_its_folder_stays(model):
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    upload = prepare_upload(model, NAME)
    assert (upload.kind, sorted(upload.files)) == (MODEL, sorted(before))
    assert f'from_pretrained("{NAME}"' in upload.replaced["README.md"]
    assert upload.size == sum(map(len, before.values())) + upload.size_of("README.md") - len(before["README.md"])
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def _no_card(folder):
    (folder / "README.md").unlink()


def _pickle(folder):
    (folder / "pytorch_model.bin").write_bytes(b"x")


def _path(folder):
    (folder / "pretraining.yaml").write_text("data:\n- path: /data/cells\n")


def _secret(folder):
    (folder / "notes.md").write_text("hf_" + "a" * 34)


def _no_licence(folder):
    write_card(folder, NAME, MODEL, CardOptions(data="Random numbers."))


def _no_data(folder):
    write_card(folder, NAME, MODEL, CardOptions(license_id="mit"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(_no_card, r"has no README.md; write one with: langcell card .* org/langcell", id="no_card"),
        pytest.param(_pickle, "pytorch_model.bin is a pickle", id="pickle"),
        pytest.param(_path, r"pretraining.yaml: \[0\].data\[0\].path is the absolute path /data/cells", id="path"),
        pytest.param(_secret, "notes.md: line 1 looks like a Hugging Face token", id="secret"),
        pytest.param(_no_licence, "README.md has no license", id="licence"),
        pytest.param(_no_data, "does not say what data it learned from", id="data"),
    ],
)
def test_what_is_not_published(model, spoil, message):
    spoil(model)
    with pytest.raises(ValueError, match=message) as error:
        prepare_upload(model, NAME)
    assert "\n" not in str(error.value)


def test_many_problems_are_counted(model):
    for i in range(7):
        (model / f"{i}.pkl").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"4\.pkl is a pickle, .*; and 2 more\.$"):
        prepare_upload(model, NAME)


def test_shards_without_sources_or_with_damage(tmp_path):
    folder = tiny_shards.write_tiny_shards(tmp_path / "shards", n_cells=20)
    write_card(folder, "org/cells", SHARDS, CardOptions(license_id="mit"))
    with pytest.raises(ValueError, match=r"manifest\.json names no sources"):
        prepare_upload(folder, "org/cells")
    (folder / "descriptions" / "descriptions.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"descriptions\.parquet has changed"):
        prepare_upload(folder, "org/cells")


def test_the_bundled_folder_is_fit_to_be_published():
    from langcell.loading.load import bundled_model_folder

    upload = prepare_upload(bundled_model_folder(), "org/langcell-mini")
    assert "hub_cards/langcell-mini" not in upload.replaced["README.md"]
    assert upload.size < 40_000_000
