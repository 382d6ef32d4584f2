"""The Hub folder as its users meet it: in a fresh process, with fresh caches, and without langcell installed."""

import ast
import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
from places import HELPERS, ROOT
from tiny import TEXTS, save_tiny_folder, tiny_counts, tiny_gene_names, tiny_model, tiny_processor
from warm_python import warm_python

from langcell.scoring_langcell import combine_scores

SCRIPT = HELPERS / "hub_round_trip.py"
EXPECTED_FILES = {
    "config.json",
    "config_sentence_transformers.json",
    "configuration_langcell.py",
    "cell_blocks_langcell.py",
    "encoders_langcell.py",
    "feature_extraction_langcell.py",
    "gene_vocabulary.tsv",
    "genes.py",
    "handler.py",
    "model.safetensors",
    "modeling_langcell.py",
    "modules.json",
    "pipeline_langcell.py",
    "preprocessor_config.json",
    "processing_langcell.py",
    "processor_config.json",
    "rank_values.py",
    "reference_cells.py",
    "reranking_langcell.py",
    "scoring_langcell.py",
    "sentence_transformers_langcell.py",
    "text_blocks_langcell.py",
    "tokenizer.json",
    "tokenizer_config.json",
}
CLASSES = [
    "LangCellConfig",
    "LangCellProcessor",
    "LangCellModel",
    "LangCellForPreTraining",
    "LangCellForCellClassification",
]


@pytest.fixture(scope="module")
def python_without_langcell(tmp_path_factory):
    """Python of a virtual environment that has everything of this one except langcell.

    This environment's site-packages cannot simply be added: langcell's own entries lie there too. So the new one gets
    a folder of links to everything else. Links to .pth files and finders have no effect there, which is what is wanted.
    """
    home = tmp_path_factory.mktemp("venv")
    venv.create(home / "env", with_pip=False, symlinks=os.name != "nt")
    packages = home / "packages"
    packages.mkdir()
    for place in dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib")):
        for entry in Path(place).iterdir():
            is_langcell = entry.name.startswith(("langcell", "__editable__", "sentence_transformers"))
            if not is_langcell and not (packages / entry.name).exists():
                (packages / entry.name).symlink_to(entry, target_is_directory=entry.is_dir())
    paths = {"base": str(home / "env"), "platbase": str(home / "env")}
    site_packages = Path(sysconfig.get_path("purelib", vars=paths))
    (site_packages / "packages.pth").write_text(f"{packages}\n")
    return home / "env" / ("Scripts" if os.name == "nt" else "bin") / Path(sys.executable).name


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The file of the cells that every process reads."""
    path = tmp_path_factory.mktemp("cells") / "cells.npz"
    np.savez(path, counts=tiny_counts().toarray(), gene_names=np.array(tiny_gene_names()))
    return path


@pytest.fixture(scope="module")
def expected():
    """What this process computes with the classes themselves."""
    model = tiny_model()
    batch = tiny_processor()(cells=tiny_counts(), text=list(TEXTS), gene_names=tiny_gene_names(), return_tensors="pt")
    with torch.no_grad():
        output = model(**batch, return_match_logits=True, return_masked_gene_logits=True)
    results = {name: tensor.numpy() for name, tensor in batch.items()}
    for name in ("cell_embeds", "text_embeds", "logits_per_cell", "match_logits"):
        results[f"AutoModel.{name}"] = results[f"AutoModelForPreTraining.{name}"] = output[name].numpy()
    scores = combine_scores(output.logits_per_cell, output.match_logits.softmax(-1)[..., 1], alpha=model.config.alpha)
    results["pipeline.scores"], results["pipeline.embeddings"] = scores.numpy(), output.cell_embeds.numpy()
    results["masked_gene_logits"] = output.masked_gene_logits.numpy()
    results["classifier_states"] = output.cell_model_output.last_hidden_state.numpy()
    return results


def run_elsewhere(python, mode, folder, cells, place):
    """Results of a fresh process with fresh caches and no network; it also saves the folder again, in `place`."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("HF_", "PYTHON", "TRANSFORMERS_"))}
    environment = {**inherited, "HF_HOME": str(place / "hf_home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    # -I keeps the working folder and the script's own folder out of the process.
    command = [python, "-I", SCRIPT, mode, folder, cells, place / "results.npz", place / "saved again", *TEXTS]
    done = subprocess.run(
        list(map(str, command)),
        env=environment,
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with np.load(place / "results.npz") as results:
        return dict(results)


def assert_same(results, expected):
    assert results.pop("classes").tolist() == CLASSES
    assert set(results) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(results[name], values, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_without_langcell(python_without_langcell, tiny_model_dir, cells, expected, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert_same(run_elsewhere(python_without_langcell, "without-langcell", tiny_model_dir, cells, first), expected)
    # The code came from the folder: transformers copied it into the fresh cache.
    assert list((first / "hf_home" / "modules").rglob("modeling_langcell.py"))
    # What such a user saves is a Hub folder again.
    again = first / "saved again"
    assert {path.name for path in again.iterdir()} == EXPECTED_FILES
    assert_same(run_elsewhere(python_without_langcell, "without-langcell", again, cells, second), expected)


@pytest.mark.slow
def test_with_langcell_no_trust_is_needed(tiny_model_dir, cells, expected, tmp_path):
    assert_same(run_elsewhere(warm_python(), "with-langcell", tiny_model_dir, cells, tmp_path), expected)
    assert not list((tmp_path / "hf_home").rglob("modeling_langcell.py"))


def test_the_folder_is_complete_and_flat(tiny_model_dir):
    assert {path.name for path in tiny_model_dir.iterdir()} == EXPECTED_FILES


def test_saving_twice_changes_no_file(tiny_model_dir, tmp_path):
    again = save_tiny_folder(tmp_path / "again")
    for path in tiny_model_dir.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_every_relative_import_stays_inside_the_folder(tiny_model_dir):
    for path in tiny_model_dir.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1, path.name
                assert node.module, f"{path.name}: from . import x"
                assert (tiny_model_dir / f"{node.module}.py").is_file(), f"{path.name} imports {node.module}"


def test_every_class_of_an_auto_map_is_in_the_folder(tiny_model_dir):
    def auto_maps(settings):
        yield from settings.get("auto_map", {}).values()
        for value in settings.values():
            if isinstance(value, dict):
                yield from auto_maps(value)

    named = {name for path in tiny_model_dir.glob("*config.json") for name in auto_maps(json.loads(path.read_text()))}
    assert len(named) == 6
    for name in named:
        module, class_name = name.split(".")
        classes = [node.name for node in ast.parse((tiny_model_dir / f"{module}.py").read_text()).body
                   if isinstance(node, ast.ClassDef)]  # fmt: skip
        assert class_name in classes


def test_no_file_names_a_place_of_this_machine(tiny_model_dir):
    places = {str(ROOT), str(tiny_model_dir), str(Path.home()), sys.prefix} - {"/"}
    for path in tiny_model_dir.iterdir():
        content = path.read_bytes()
        assert not [place for place in places if place.encode() in content], path.name


def test_weights_are_safetensors_only(tiny_model_dir):
    assert not [path for path in tiny_model_dir.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".pkl", ".ckpt"}]
