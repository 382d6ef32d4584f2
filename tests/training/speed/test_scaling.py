"""The plan on paper: what the document says is what the code computes, and the code computes what autograd keeps."""

import re
import subprocess

import pytest
import torch
from released_layout import N_GENES, write_geneformer_v1
from typer.testing import CliRunner
from warm_python import warm_python

from langcell.cli.commands import app
from langcell.configuration_langcell import LangCellConfig
from langcell.modeling_langcell import LangCellForPreTraining
from langcell.processing.genes import GeneVocabulary
from langcell.training.settings.sections import (
    Batch,
    CellText,
    CellTextMatching,
    MaskedGene,
    Objectives,
    PretrainConfig,
)
from langcell.training.speed.scaling import (
    BEGIN,
    DOCUMENT,
    END,
    LOADS,
    TypicalInputs,
    activation_bytes,
    base_config,
    days,
    flops_a_cell,
    parameters,
    tables,
)
from langcell.training.stage.stage import PretrainingStage

CELLS, GENES, WORDS = 4, 90, 25  # no product of them is a width, so that activations look like no weight
STAGE_2 = Objectives(cell_text=CellText(weight=1.0), cell_text_matching=CellTextMatching(weight=1.0))

THREE_NEGATIVES = Objectives(
    cell_text=CellText(weight=1.0), cell_text_matching=CellTextMatching(weight=1.0, negatives=3)
)  # fmt: skip


def test_the_document_has_the_tables_of_the_code():
    between = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    assert between.strip() == tables().strip(), "run python training/speed/scaling.py --write"


def test_the_base_configs_have_the_papers_size():
    config = LangCellConfig()
    cell, text = config.cell_config, config.text_config
    assert (cell.num_hidden_layers, cell.hidden_size, cell.max_position_embeddings, cell.vocab_size) == (
        12, 512, 2048, 25427,
    )  # fmt: skip
    assert (text.num_hidden_layers, text.hidden_size, config.projection_dim) == (12, 768, 256)
    assert [base_config(stage).batch.max_length for stage in (1, 2)] == [2048, 2048]


def test_flops_of_a_long_cell_are_those_of_the_formula():
    h, f, n, vocabulary, layers = 512, 1024, 2048, 25427, 12
    encoder = layers * (2 * n * (4 * h**2 + 2 * h * f) + 4 * n**2 * h)
    parts = flops_a_cell(base_config(1), LOADS[-1])
    assert parts["cell encoder"] == pytest.approx(2 * 3 * encoder)
    head = 3 * 2 * 0.15 * (n - 1) * (h**2 + h * vocabulary)
    assert parts["masked-gene head"] == pytest.approx(head)


def test_parameters_are_those_of_the_model():
    with torch.device("meta"):
        model = LangCellForPreTraining(LangCellConfig())
    sizes = parameters(base_config(2))
    assert sizes["trained"] == sum(p.numel() for p in model.parameters())
    assert sizes["cell encoder"] == sum(p.numel() for p in model.cell_encoder.parameters())
    assert parameters(base_config(1))["trained"] < sizes["trained"] / 4


def test_days():
    assert days(1000, 864.0, gpus=2, peak=10.0, mfu=0.5) == pytest.approx(1.0)


def small_model(**text) -> LangCellForPreTraining:
    cell = {"vocab_size": 300, "hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 256}
    text = {"vocab_size": 50, "hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 384} | text
    off = {"attention_probs_dropout_prob": 0.0}  # a fused kernel keeps a seed and no mask; the CPU's has no dropout
    torch.manual_seed(0)
    return LangCellForPreTraining(
        LangCellConfig(
            cell_config=cell | off | {"num_hidden_layers": 3}, text_config=text | off | {"num_hidden_layers": 3}
        )
    )


def kept_by_autograd(stage, batch) -> int:
    """Bytes that a forward pass in bf16 autocast keeps, without weights and their bf16 copies."""
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        stage(batch)
    matrices = {tuple(p.shape) for p in stage.parameters() if p.ndim == 2}
    matrices |= {(columns, rows) for rows, columns in matrices}
    weights = {p.untyped_storage().data_ptr() for p in stage.parameters()}
    return sum(
        tensor.untyped_storage().nbytes()
        for place, tensor in kept.items()
        if place not in weights and not (tensor.dtype == torch.bfloat16 and tuple(tensor.shape) in matrices)
    )


@pytest.mark.parametrize(
    ("stage", "objectives", "text"),
    [
        pytest.param(1, Objectives(), {}, id="stage_1"),
        pytest.param(1, Objectives(masked_gene=MaskedGene(weight=0.0)), {}, id="cell_cell_alone"),
        pytest.param(2, STAGE_2, {}, id="stage_2"),
        pytest.param(2, THREE_NEGATIVES, {}, id="stage_2_three_texts_a_cell_that_do_not_describe_it"),
        pytest.param(2, STAGE_2, {"cross_attention_start": 1}, id="stage_2_reads_cells_later"),
    ],
)
def test_activations_are_what_autograd_keeps(stage, objectives, text):
    model = small_model(**text)
    own = torch.arange(CELLS)
    genes = torch.randint(2, 290, (CELLS, GENES), generator=torch.Generator().manual_seed(0))
    genes[:, 0] = 299
    batch = {
        "cell_input_ids": genes,
        "cell_attention_mask": torch.ones_like(genes),
        "input_ids": torch.randint(2, 50, (CELLS, WORDS)),
        "attention_mask": torch.ones(CELLS, WORDS, dtype=torch.long),
    } | dict.fromkeys(("cell_description", "cell_type", "text_description", "text_type", "own_text"), own)
    config = PretrainConfig(stage=stage, output_dir="", steps=1, objectives=objectives, batch=Batch(size=CELLS))
    expected = activation_bytes(config, TypicalInputs("", GENES, WORDS), cells=CELLS, model=model.config)
    assert kept_by_autograd(PretrainingStage(model, objectives).train(), batch) == pytest.approx(expected, rel=0.05)


def test_geneformers_vocabulary_is_made_as_the_document_says(tmp_path):
    files = write_geneformer_v1(tmp_path)
    published = ("token_dictionary_gc30M.pkl", "gene_median_dictionary_gc30M.pkl", "gene_name_id_dict_gc30M.pkl")
    for file, name in zip(files.values(), published, strict=True):
        file.rename(tmp_path / name)
    script = DOCUMENT.read_text().partition('python -c "')[2].partition('"')[0]
    subprocess.run([warm_python(), "-c", script], cwd=tmp_path, check=True)
    assert len(GeneVocabulary.load(tmp_path / "gene_vocabulary.tsv")) == N_GENES


def test_the_options_of_the_document_exist():
    shown = CliRunner().invoke(app, ["tokenize", "--help"], env={"COLUMNS": "200"}).output
    commands = re.findall(r"langcell tokenize (.*?(?<!\\)\n)", DOCUMENT.read_text(), flags=re.DOTALL)
    options = set(re.findall(r"(?<!\S)--[a-z-]+", " ".join(commands)))
    assert options >= {"--census-uri", "--joinids", "--value-filter", "--vocabulary"}
    assert not [option for option in options if option not in shown]


def test_both_stages_cost_the_sum():
    rows = [line.split("|")[1:-1] for line in tables().splitlines() if line.startswith("| 27.5 M | 2,048 |")]
    assert [row[3].strip() for row in rows] == ["1", "2", "1 + 2"]
    low = [float(row[-1].split(" to ")[0]) for row in rows]
    assert low[2] == pytest.approx(low[0] + low[1], abs=0.011)


def test_the_commands_of_the_document_name_what_there_is():
    root = DOCUMENT.parents[1]
    named = set(re.findall(r"training/[\w/.{},-]+\.(?:py|yaml)", DOCUMENT.read_text()))
    assert {"training/pretrain.py", "training/start_model.py", "training/configs/accelerate/ddp.yaml"} <= named
    assert not [name for name in named if not (root / name).is_file()]
