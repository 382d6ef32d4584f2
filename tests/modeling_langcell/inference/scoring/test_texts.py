import numpy as np
import pytest
import torch
from tiny import TEXTS, tiny_model, tiny_processor
from torch.nn.functional import normalize

import langcell
from langcell.inference.scoring import texts as texts_module


@pytest.fixture(scope="module")
def expected():
    """Each text alone, by the model itself."""
    model, processor = tiny_model(), tiny_processor()
    with torch.no_grad():
        alone = [model(**processor(text=[text], return_tensors="pt")).text_embeds for text in TEXTS]
    return normalize(torch.cat(alone), dim=-1).numpy()


@pytest.mark.parametrize("kind", ["folder", "loaded"])
@pytest.mark.parametrize("at_once", [1, 2, 4096])
def test_embeddings_are_those_of_each_text_alone(tiny_model_dir, expected, monkeypatch, kind, at_once):
    monkeypatch.setattr(texts_module, "_TEXTS_AT_ONCE", at_once)
    model = tiny_model_dir if kind == "folder" else langcell.load(tiny_model_dir, device="cpu")
    embeds = langcell.embed_texts(TEXTS, model=model, device="cpu")
    assert embeds.dtype == np.float32
    np.testing.assert_allclose(embeds, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kept", ["float32", "bfloat16"])
def test_a_loaded_model_embeds_in_its_own_dtype_or_in_that_asked_for(tiny_model_dir, kept):
    loaded = langcell.load(tiny_model_dir, device="cpu", dtype=kept)
    own = langcell.embed_texts(TEXTS, model=langcell.load(tiny_model_dir, device="cpu"), dtype=kept)
    np.testing.assert_array_equal(langcell.embed_texts(TEXTS, model=loaded), own)
    np.testing.assert_array_equal(langcell.embed_texts(TEXTS, model=loaded, dtype=kept), own)
    other = langcell.embed_texts(TEXTS, model=loaded, dtype={"float32": "bfloat16", "bfloat16": "float32"}[kept])
    assert not np.array_equal(other, own)
    assert str(loaded.model.dtype) == f"torch.{kept}"


def test_no_texts_give_no_rows(tiny_model_dir):
    assert langcell.embed_texts([], model=tiny_model_dir).shape == (0, 8)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        pytest.param("monocyte", {}, r"texts is one string; give a list: \['monocyte'\]", id="one_string"),
        pytest.param(["monocyte", 3], {}, "texts holds int '3'; give strings", id="number"),
        pytest.param(["monocyte"], {"dtype": "float31"}, "dtype is 'float31'; legal are", id="dtype"),
        pytest.param(["monocyte"], {"device": "no such"}, "Device 'no such' cannot be used here", id="device"),
    ],
)
def test_mistakes_are_one_line(tiny_model_dir, texts, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        langcell.embed_texts(texts, model=tiny_model_dir, **options)
    assert "\n" not in str(caught.value)
