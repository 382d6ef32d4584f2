"""One command measures a model and renews its card: refined figures stand beside those of cells alone."""

import shutil

import numpy as np
import pytest
from huggingface_hub import ModelCard
from tiny import save_tiny_folder
from tiny_groups import SMALL, grouped_cells

from langcell.hub_cards.cards.cards import model_card
from langcell.hub_cards.cards.measurements import measurement_table
from langcell.hub_cards.cards.renewed_results import renew_results
from langcell.loading.load import weights_digest
from langcell.training import measure_card
from langcell.training.evaluation.card_results import read_measurement
from langcell.training.measure_card import BloodSets, measure

IDS = {"B cell": "CL:0000236", "T cell": "CL:0000084", "monocyte": "CL:0000576"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A folder with a card, and what was measured of its weights."""
    root = tmp_path_factory.mktemp("measured")
    folder = save_tiny_folder(root / "langcell-tiny", reference=True)
    about = {"model_id": "langcell-tiny", "title": "Tiny", "summary": "Small.", "making": "By a test.", "limits": ["x"]}
    model_card(**about).save(folder / "README.md")
    text = (folder / "README.md").read_text()
    (folder / "README.md").write_text(text.replace("## Limits", "## Results\n\nold figures\n\n## Limits"))
    cells = grouped_cells()
    cells.obs["cell_type"] = np.array(sorted(IDS))[np.arange(cells.n_obs) % 3]
    cells.obs["cl_id"] = [IDS[name] for name in cells.obs["cell_type"]]
    cells.write_h5ad(root / "pbmc3k.h5ad")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure_card, "sample_cells", lambda: cells)
        reports = [*measure(folder, BloodSets(root / "pbmc3k.h5ad", root / "results"), tasks=(), **SMALL)]
    return folder, [read_measurement(path, weights=weights_digest(folder)) for path in reports]


def test_refined_figures_are_read_back_from_the_card(measured, tmp_path):
    folder, found = measured
    shutil.copytree(folder, copy := tmp_path / "copy")
    renew_results(copy, found, benchmark="org/cells")
    card = ModelCard.load(copy / "README.md")
    read = {(one.dataset_name, one.task_name, one.metric_name): one.metric_value for one in card.data.eval_results}
    task = "zero-shot annotation of 3 types"
    for name, one in zip(("pbmc3k", "pbmc700"), found, strict=True):
        given = {(e.dataset_name, e.task_name, e.metric_name): e.metric_value for e in one.results}
        assert {(name, task, "accuracy"), (name, f"{task}, refined", "accuracy")} <= given.keys()
        assert given.items() <= read.items()
        assert "| LangCell, refined |" in one.methods
    assert measurement_table(card.data.eval_results) in card.text
    assert "| type | cells | precision | recall | F1 | F1, refined |" in card.text
    assert sorted(path.name for path in (copy / ".eval_results").iterdir()) == ["pbmc3k.yaml", "pbmc700.yaml"]


def test_the_rest_of_the_card_stays_and_renewing_again_changes_nothing(measured, tmp_path):
    folder, found = measured
    shutil.copytree(folder, copy := tmp_path / "copy")
    renew_results(copy, found)
    once = (copy / "README.md").read_text()
    assert "old figures" not in once
    assert once.index("By a test.") < once.index("## Results") < once.index("## Limits\n\n- x")
    renew_results(copy, found)
    assert (copy / "README.md").read_text() == once


def test_a_card_without_results_is_refused(measured, tmp_path):
    _, found = measured
    model_card(model_id="a", title="A", summary="b").save(tmp_path / "README.md")
    with pytest.raises(ValueError, match='has 0 sections "## Results"'):
        renew_results(tmp_path, found)
    with pytest.raises(ValueError, match="There is no evaluation"):
        renew_results(tmp_path, [])


def test_what_cannot_be_measured_is_one_line(tmp_path, capsys):
    missing = ["--pbmc3k", str(tmp_path / "none.h5ad"), "--results", str(tmp_path / "results")]
    assert measure_card.main([*missing, "--model", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
