import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

import langcell
from langcell.cli.commands import app

TEXTS = ["b cell", "monocyte of the blood"]


def test_the_folder_is_read_without_code_and_gives_the_vectors_of_the_model(tiny_model_dir, tmp_path):
    folder = tmp_path / "tower"
    done = CliRunner().invoke(app, ["export", "text-tower", str(tiny_model_dir), "-o", str(folder)])
    assert done.exit_code == 0, done.output
    assert not list(folder.glob("*.py"))
    loaded = langcell.load(tiny_model_dir, device="cpu", dtype="float32")
    found = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(found, langcell.embed_texts(TEXTS, model=loaded), atol=1e-5)


def test_nothing_is_replaced(tiny_model_dir, tmp_path):
    (tmp_path / "tower").mkdir()
    done = CliRunner().invoke(app, ["export", "text-tower", str(tiny_model_dir), "-o", str(tmp_path / "tower")])
    assert done.exit_code == 2
    assert not list((tmp_path / "tower").iterdir())


@pytest.mark.slow
def test_the_tower_of_the_bundled_weights(tmp_path):
    from langcell.conversion.text_tower import export_text_tower

    assert export_text_tower("langcell-mini", tmp_path / "tower") <= 1e-5
