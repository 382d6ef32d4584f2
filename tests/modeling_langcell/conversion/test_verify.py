"""`langcell convert` and `langcell verify`, from the command line to the folder and back."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from released_layout import N_GENES, TINY_CELL, released_parts, write_geneformer_v1, write_pickle, write_tokenizer
from safetensors.torch import load_file, save_file
from transformers import AutoModel
from typer.testing import CliRunner

import langcell
from langcell.cli.commands import app
from langcell.conversion.self_test import SELF_TEST_FILE
from langcell.conversion.verify import MANIFEST_FILE, verify
from langcell.loading.weight_files import read_tensors
from langcell.modeling_langcell import LangCellModel


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    released = released_parts().write(folder / "released")
    return {"released": released, "text_tokenizer": write_tokenizer(folder / "bert"), **write_geneformer_v1(folder)}


def command(sources: dict[str, Path], output: Path) -> list[object]:
    options = [("--" + name.replace("_", "-"), path) for name, path in sources.items() if name != "released"]
    return ["convert", sources["released"], output, *(word for option in options for word in option)]


@pytest.fixture(scope="module")
def converted(sources, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("hub") / "langcell-released"
    result = run(*command(sources, output))
    assert result.exit_code == 0, result.stderr
    assert "Verified" in result.stdout
    return output


@pytest.fixture
def copy(converted, tmp_path) -> Path:
    return Path(shutil.copytree(converted, tmp_path / "copy"))


def test_converted_folder_loads_and_passes(converted) -> None:
    assert isinstance(AutoModel.from_pretrained(converted), LangCellModel)
    result = run("verify", converted)
    assert (result.exit_code, result.stdout) == (0, f"{converted}: pass (hashes, gene vocabulary, self-test)\n")


def test_processor_reads_the_first_of_duplicates(converted) -> None:
    processor = langcell.load(converted, device="cpu").processor
    assert processor.feature_extractor.duplicates == "first"
    names = ["ENSG00000000007", "GENE7", "GENE8", "ENSG00000000008.3"]
    cells = torch.tensor([[1, 1000, 2, 2000], [0, 1000, 3, 2000]]).numpy()
    medians = processor.feature_extractor.vocabulary.medians[6:8]
    first = [8, 9] if 1 / medians[0] > 2 / medians[1] else [9, 8]
    encoded = processor(cells=cells, gene_names=names)
    assert encoded["cell_input_ids"][0].tolist() == [N_GENES + 2, *first]
    assert encoded["cell_input_ids"][1].tolist() == [N_GENES + 2, 9, 0]


def test_manifest_names_sources_by_hash_and_no_place(converted, sources) -> None:
    manifest = json.loads((converted / MANIFEST_FILE).read_text())
    released = sources["released"] / "cell_bert" / "pytorch_model.bin"
    expected = hashlib.sha256(released.read_bytes()).hexdigest()
    assert manifest["sources"]["cell_bert/pytorch_model.bin"]["sha256"] == expected
    assert set(manifest["files"]) == {p.name for p in converted.iterdir()} - {MANIFEST_FILE, "README.md"}
    assert manifest["tensors"]["left_out"] == ["text_bert/embeddings.position_ids"]
    assert str(sources["released"].parent) not in (converted / MANIFEST_FILE).read_text()
    assert expected in (converted / "README.md").read_text()


def test_to_released_writes_the_parts_back(converted, sources, tmp_path) -> None:
    result = run("convert", converted, tmp_path / "back", "--to-released")
    assert result.exit_code == 0, result.stderr
    for path in sorted(sources["released"].rglob("*.bin")):
        expected, found = read_tensors(path), read_tensors(tmp_path / "back" / path.relative_to(sources["released"]))
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)


def _rehash(folder: Path, name: str) -> None:
    """Make the manifest agree with a changed file, as who forges a folder would."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


def _change_weight(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["match_head.bias"][1] += 0.01
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _change_weight_and_hash(folder: Path) -> None:
    _change_weight(folder)
    _rehash(folder, "model.safetensors")


def _change_code_and_hash(folder: Path) -> None:
    code = folder / "modeling_langcell.py"
    code.write_text(
        code.read_text().replace(
            "F.normalize(self.cell_projection(self.pool_cells(cell_states, cell_attention_mask)), dim=-1)",
            "self.cell_projection(self.pool_cells(cell_states, cell_attention_mask))",
        )
    )
    _rehash(folder, code.name)


def _change_processor_and_hash(folder: Path) -> None:
    for name in ("processor_config.json", "preprocessor_config.json"):
        path = folder / name
        path.write_text(path.read_text().replace('"max_length": 64', '"max_length": 16'))
        _rehash(folder, name)


def _break_code_and_hash(folder: Path) -> None:
    (folder / "modeling_langcell.py").write_text("raise RuntimeError('broken')")
    _rehash(folder, "modeling_langcell.py")


def _change_fingerprint_and_hash(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocabulary_fingerprint": "0" * 64}))
    _rehash(folder, "config.json")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        pytest.param(_change_weight, "model.safetensors: sha256 is", id="weight"),
        pytest.param(lambda folder: (folder / "genes.py").unlink(), "genes.py: missing", id="file_missing"),
        pytest.param(lambda folder: (folder / "x.py").touch(), "x.py: not there at conversion", id="strange_code"),
        pytest.param(_change_fingerprint_and_hash, "config.json: vocabulary fingerprint is 0000", id="fingerprint"),
        pytest.param(_change_weight_and_hash, "self-test: match differs by", id="weight_and_hash"),
        pytest.param(_change_code_and_hash, "self-test: cell_embeds differs by", id="code_and_hash"),
        pytest.param(_change_processor_and_hash, "self-test: cell_input_ids has shape", id="processor_and_hash"),
        pytest.param(_break_code_and_hash, "does not load or run (RuntimeError: broken)", id="broken_code_and_hash"),
    ],
)
def test_verify_says_what_differs(copy, change, part: str) -> None:
    change(copy)
    result = run("verify", copy)
    assert result.exit_code == 2
    assert part in result.stderr
    assert "pass" not in result.stdout


def test_the_card_may_be_edited(copy) -> None:
    (copy / "README.md").write_text("# Mine")
    assert verify(copy) == []


def test_a_folder_of_something_else(tmp_path) -> None:
    result = run("verify", tmp_path)
    assert result.exit_code == 2
    assert "has no conversion.json" in result.stderr


def test_a_damaged_manifest(copy) -> None:
    (copy / MANIFEST_FILE).write_text('{"files": []}')
    with pytest.raises(ValueError, match="is damaged"):
        verify(copy)


def test_an_unlisted_self_test_does_not_pass(copy) -> None:
    manifest = json.loads((copy / MANIFEST_FILE).read_text())
    del manifest["files"][SELF_TEST_FILE]
    (copy / MANIFEST_FILE).write_text(json.dumps(manifest))
    assert verify(copy) == [f"{SELF_TEST_FILE}: not listed in {MANIFEST_FILE}"]


def _v2_dictionary(folder: Path) -> dict[str, Path]:
    tokens = {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3, "ENSG00000000001": 4}
    return {"token_dictionary": write_pickle(folder / "v2.pkl", tokens)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(_v2_dictionary, "Geneformer V2 dictionary", id="geneformer_v2"),
        pytest.param(lambda folder: {"gene_medians": folder / "none.pkl"}, "none.pkl", id="no_medians"),
        pytest.param(lambda folder: {"released": folder}, "is no released LangCell", id="no_checkpoint"),
        pytest.param(lambda folder: {"text_tokenizer": folder / "none"}, "is no folder", id="no_tokenizer"),
        pytest.param(lambda folder: {"text_tokenizer": folder}, "is no tokenizer that loads", id="empty_tokenizer"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(sources, tmp_path, change, message: str) -> None:
    (tmp_path / "given").mkdir()
    result = run(*command(sources | change(tmp_path / "given"), tmp_path / "output"))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("langcell: ")
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param([], "needs --token-dictionary, --gene-medians and --text-tokenizer", id="dictionaries_missing"),
        pytest.param(["--to-released", "--gene-names", "x"], "needs no dictionaries", id="dictionaries_not_needed"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, options, message: str) -> None:
    result = run("convert", tmp_path, tmp_path / "out", *options)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("back", [pytest.param(False, id="convert"), pytest.param(True, id="to_released")])
def test_nothing_is_overwritten(sources, converted, tmp_path, back: bool) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = run(*(["convert", converted, tmp_path, "--to-released"] if back else command(sources, tmp_path)))
    assert result.exit_code == 2
    assert "exists and is not an empty folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_remarks_stand_in_log_card_and_manifest(sources, tmp_path, caplog) -> None:
    without_cls = released_parts({**TINY_CELL, "vocab_size": N_GENES + 2}).write(tmp_path / "released")
    given = {name: path for name, path in sources.items() if name != "gene_names"} | {"released": without_cls}
    result = run(*command(given, tmp_path / "output"))
    assert result.exit_code == 0, result.stderr
    remarks = json.loads((tmp_path / "output" / MANIFEST_FILE).read_text())["remarks"]
    assert [remark.split()[0] for remark in remarks] == ["The", "Genes", "Converted"]
    card = (tmp_path / "output" / "README.md").read_text()
    assert all(remark in card and remark in caplog.text for remark in remarks)
    assert "or gene symbols" not in card
