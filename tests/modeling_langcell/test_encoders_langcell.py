import tiny
import torch
from torch.testing import assert_close

from langcell.encoders_langcell import FEW_TEXTS, EncodedCells, EncodedTexts, TorchEncoders, reads_states


def encoded(encoders: TorchEncoders, n_texts: int | None) -> tuple[EncodedCells, EncodedTexts]:
    """Two cells and three texts, each of another length."""
    ids = torch.tensor([[19, 5, 7, 3, 11], [19, 4, 6, 0, 0]])
    tokens = torch.tensor([[1, 5, 6, 7], [1, 8, 0, 0], [1, 9, 4, 0]])
    cells = encoders.encode_cells(ids, (ids > 0).long(), n_texts=n_texts)
    return cells, encoders.encode_texts(tokens, (tokens > 0).long())


@torch.inference_mode()
def test_few_texts_read_the_states_of_cells_as_they_read_keys_and_values():
    config = tiny.tiny_config(text={"num_hidden_layers": 2, "cross_attention_start": 1})
    encoders = TorchEncoders(tiny.tiny_model(config))
    columns = torch.tensor([[2, 0], [1, 0]])
    (few, texts), (many, _) = encoded(encoders, 3), encoded(encoders, FEW_TEXTS + 1)
    assert len(few.for_match) == 1
    assert len(many.for_match) == 2
    found, expected = encoders.match(few, texts, columns, 4), encoders.match(many, texts, columns, 4)
    assert found.dtype == torch.float32
    assert expected.std() > 0.01, "the pairs differ"
    assert_close(found, expected, atol=1e-6, rtol=1e-5)
    (alone,) = (encoders.match(few.at(torch.tensor([1])), texts, columns[1:], 4),)
    assert_close(alone, found[1:], atol=1e-6, rtol=1e-5)


@torch.inference_mode()
def test_states_are_read_only_where_one_layer_of_plain_products_reads_cells():
    several = TorchEncoders(tiny.tiny_model())
    assert not reads_states(several.model.text_encoder)
    assert len(encoded(several, 3)[0].for_match) == 4
    encoder = tiny.tiny_model(tiny.tiny_config(text={"num_hidden_layers": 2, "cross_attention_start": 1})).text_encoder
    assert reads_states(encoder)
    encoder.layer[-1].crossattention.self.key.register_forward_hook(lambda module, given, found: found)
    assert not reads_states(encoder)
