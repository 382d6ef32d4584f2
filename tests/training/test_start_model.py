import pickle

import pytest
import torch
from released_layout import N_GENES, write_geneformer_model, write_tokenizer
from tiny import tiny_tokenizer, tiny_vocabulary
from transformers import BertConfig, BertForMaskedLM

from langcell.modeling_langcell import LangCellForPreTraining
from langcell.training.start_model import main


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A gene vocabulary and a BERT, as files."""
    home = tmp_path_factory.mktemp("parts")
    tiny_vocabulary(N_GENES).save(home / "gene_vocabulary.tsv")
    folder = write_tokenizer(home / "bert")
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
    BertForMaskedLM(BertConfig(vocab_size=len(tiny_tokenizer()), **sizes)).save_pretrained(folder)
    return home


def arguments(parts, to, *more):
    return [
        "--vocabulary",
        str(parts / "gene_vocabulary.tsv"),
        "--text-tower",
        str(parts / "bert"),
        "--to",
        str(to),
        *more,
    ]


def test_a_fresh_cell_encoder_has_the_papers_size(parts, tmp_path):
    assert main(arguments(parts, tmp_path / "runs" / "start")) == 0
    cell = LangCellForPreTraining.from_pretrained(tmp_path / "runs" / "start").config.cell_config
    sizes = (cell.num_hidden_layers, cell.hidden_size, cell.num_attention_heads, cell.intermediate_size)
    assert sizes == (12, 512, 8, 1024)
    assert cell.max_position_embeddings == 2048
    assert cell.vocab_size == N_GENES + 3


def test_a_cell_encoder_from_geneformer(parts, tmp_path):
    geneformer = write_geneformer_model(tmp_path / "geneformer", tiny_vocabulary(N_GENES), with_cls=True)
    assert main(arguments(parts, tmp_path / "start", "--cell-tower", str(tmp_path / "geneformer"))) == 0
    model = LangCellForPreTraining.from_pretrained(tmp_path / "start")
    weight = geneformer.bert.encoder.layer[0].output.dense.weight
    assert torch.equal(model.cell_encoder.encoder.layer[0].output.dense.weight, weight)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param(["--cell-tower", "/no/where"], "/no/where", id="no_tower"),
        pytest.param(["--vocabulary", "/no/where.tsv"], "where.tsv", id="no_vocabulary"),
    ],
)
def test_mistakes_are_one_line(parts, tmp_path, capsys, more, message):
    assert main([*arguments(parts, tmp_path / "start"), *more]) == 2
    assert message in capsys.readouterr().err.strip()
    assert not (tmp_path / "start").exists()


def test_a_pickle_is_no_vocabulary(parts, tmp_path, capsys):
    path = tmp_path / "token_dictionary.pkl"
    path.write_bytes(pickle.dumps({"<pad>": 0, "<mask>": 1, "ENSG00000000003": 2}))
    assert main([*arguments(parts, tmp_path / "start"), "--vocabulary", str(path)]) == 2
    assert f"error: {path} is a pickle; give the gene_vocabulary.tsv" in capsys.readouterr().err


def test_a_folder_that_exists_is_left_alone(parts, tmp_path, capsys):
    assert main(arguments(parts, tmp_path)) == 2
    assert "exists. Give another folder" in capsys.readouterr().err
