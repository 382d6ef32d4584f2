"""The weights that come with the package: complete, small enough, described, and better than guessing."""

import re

import numpy as np
import pytest
from huggingface_hub import ModelCard
from places import ROOT
from sklearn.metrics import f1_score

import langcell
from langcell.configuration_langcell import AUTO_MAP
from langcell.hub_cards.cards.measurements import measurement_table
from langcell.loading.load import bundled_model_folder
from langcell.sample_data import BULK_LABELS, sample_cells
from langcell.training.package_model import MITOCHONDRIAL_GENES

pytestmark = pytest.mark.usefixtures("numbers_of_this_machine")


@pytest.fixture(scope="module")
def bundled():
    return langcell.load()


def test_folder_is_complete_and_at_most_40_mb():
    folder = bundled_model_folder()
    files = {path.name for path in folder.iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "processor_config.json", "tokenizer.json"} <= files
    assert {f"{module.split('.')[0]}.py" for module in AUTO_MAP.values()} <= files
    assert not [name for name in files if name.endswith((".bin", ".pkl", ".pt"))]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 40_000_000


def test_code_in_the_folder_is_the_code_of_the_package():
    for path in bundled_model_folder().glob("*.py"):
        source = next(p for floor in ("modeling_langcell", "processing") for p in (ROOT / floor).glob(path.name))
        assert path.read_text() == source.read_text(), f"{path.name} is not up to date: copy it into the folder"


def test_each_file_that_transformers_looks_up_imports_all_that_it_needs_itself():
    # transformers 5.5 to 5.9 copy from a local folder what such a file imports, and not what those files import.
    folder = bundled_model_folder()
    imports = {
        path.stem: set(re.findall(r"^from \.(\w+) import", path.read_text(), re.M)) for path in folder.glob("*.py")
    }
    looked_up = {module.split(".")[0] for module in AUTO_MAP.values()} | {"pipeline_langcell", "processing_langcell"}
    for name in looked_up | {"feature_extraction_langcell"}:
        needed = set(imports[name])
        while more := {inner for each in needed for inner in imports[each]} - needed:
            needed |= more
        assert needed == imports[name], f"{name}.py has to import from {sorted(needed - imports[name])}"


def test_card_says_what_was_measured():
    card = ModelCard.load(bundled_model_folder() / "README.md")
    assert card.data.license == "apache-2.0"
    found = {result.metric_type for result in card.data.eval_results}
    assert {"accuracy", "f1", "ontology_accuracy", "expected_calibration_error"} <= found
    for heading in ("## How it was made", "## Limits", "## Licence"):
        assert heading in card.text


def test_the_cards_metadata_say_what_its_table_says():
    # The Hub client merges results of one task type on one data set under the first one's names.
    card = ModelCard.load(bundled_model_folder() / "README.md")
    table = measurement_table(card.data.eval_results)
    assert {result.task_name.split(":")[0] for result in card.data.eval_results} >= {"calibration", "few-shot"}
    assert table in card.text


def test_cells_are_the_same_by_symbols_and_by_ids_with_mitochondrial_genes(bundled):
    extractor = bundled.processor.feature_extractor
    places = extractor.vocabulary.match(MITOCHONDRIAL_GENES, synonyms=False)
    known = [gene for gene, place in zip(MITOCHONDRIAL_GENES, places, strict=True) if place >= 0]
    assert sorted(extractor.unread_genes) == sorted(known)
    assert len(known) == 8
    genes = extractor.vocabulary.gene_ids[:200]
    assert (extractor.gene_index([*known, *genes])[: len(known)] == -1).all()
    counts = np.random.default_rng(0).poisson(1.0, (4, len(known) + len(genes)))
    counts[:, : len(known)] += 100
    with_mitochondria = extractor(counts, [*known, *genes])["cell_input_ids"]
    np.testing.assert_array_equal(with_mitochondria, extractor(counts[:, len(known) :], genes)["cell_input_ids"])


def test_it_knows_its_training_types(bundled):
    assert len(bundled.config.training_cell_types) >= 200


@pytest.mark.slow
def test_names_real_cells_clearly_better_than_the_majority_class(bundled):
    cells = sample_cells()
    truth = cells.obs["cell_type"].astype(str).to_numpy()
    langcell.annotate(cells, list(BULK_LABELS.values()), model=bundled, progress=False)
    named = cells.obs["langcell_label"].astype(str).to_numpy()
    majority = max(np.unique(truth, return_counts=True)[1]) / len(truth)
    assert np.mean(named == truth) > majority + 0.2
    assert f1_score(truth, named, average="macro") > 0.4  # the majority class alone has 0.05
