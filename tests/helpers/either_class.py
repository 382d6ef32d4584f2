"""Run in a process of its own: a model of a folder's own code goes through every public function that takes a model.

Arguments: the folder of a model with `tiny_evidence.typed_reference`, that of a classifier, and which is imported
first, "langcell" or "hub".
Prints what differs from langcell's own class.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def hub_model(folder: str, *, auto: bool) -> Any:
    """The model by the folder's own code; once langcell is imported the Auto classes take langcell's."""
    from transformers import AutoModel
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    if auto:
        return AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    return get_class_from_dynamic_module("modeling_langcell.LangCellModel", folder).from_pretrained(folder).eval()


def hub_classifier(folder: str, *, auto: bool) -> Any:
    """The classifier of a folder with a head, likewise."""
    from transformers import AutoModelForSequenceClassification
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    if auto:
        return AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
    name = "modeling_langcell.LangCellForCellClassification"
    return get_class_from_dynamic_module(name, folder).from_pretrained(folder).eval()


def hub_processor(folder: str, *, auto: bool) -> Any:
    """The processor, likewise."""
    from transformers import AutoProcessor
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    if auto:
        return AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    return get_class_from_dynamic_module("processing_langcell.LangCellProcessor", folder).from_pretrained(folder)


def results(loaded: Any) -> dict[str, Any]:
    """What each public function makes of a model."""
    import tiny
    from tiny_labelled import TYPES, labelled_cells
    from transformers import pipeline

    import langcell
    from langcell.inference.scored_cells import score_data
    from langcell.processing.labels.resolve import Label
    from langcell.training.fine_tuning.finetuning import finetune

    found: dict[str, Any] = {}
    batch = dict(loaded.processor(cells=[[42, 3, 4], [42, 9]], text=list(tiny.TEXTS), return_tensors="pt"))
    for rerank in ("full", "exact", "none"):
        found[f"score_labels {rerank}"] = langcell.score_labels(loaded.model, **batch, rerank=rerank).score.numpy()
    cells = labelled_cells(4)
    langcell.annotate(cells, dict(zip(TYPES, tiny.TEXTS, strict=True)), model=loaded, dtype="float32", progress=False)
    found["annotate"], found["embed"] = cells.obsm["langcell_scores"], None
    langcell.embed(cells, model=loaded, dtype="float32", progress=False)
    found["embed"] = cells.obsm["X_langcell"]
    labels = [Label(name, text, None, "given") for name, text in zip(TYPES, tiny.TEXTS, strict=True)]
    found["score_data"] = score_data(cells, labels, loaded=loaded).match
    found["retrieve"] = langcell.retrieve(
        cells, labels, model=loaded, rerank=3, counts=cells, dtype="float32"
    ).score.to_numpy()
    found["embed_texts"] = langcell.embed_texts(tiny.TEXTS, model=loaded)
    name_cells = pipeline("zero-shot-cell-annotation", model=loaded.model, processor=loaded.processor)
    found["pipeline"] = [
        sorted(zip(cell["labels"], cell["scores"], strict=True))[0][1]
        for cell in name_cells(cells, candidate_labels=list(TYPES))
    ]
    for task in ("text", "classification"):
        tuned = finetune(cells, label_column="type", model=loaded, task=task, steps=2, device="cpu")
        found[f"finetune {task}"] = tuned.score(cells)
        with tempfile.TemporaryDirectory() as folder:
            tuned.save(Path(folder) / "tuned")
    found |= evidence(loaded) | calibration(loaded)
    return {name: np.asarray(values) for name, values in found.items()}


def calibration(loaded: Any) -> dict[str, Any]:
    """What `calibrate` fits to the scores of a model."""
    from tiny_evidence import TYPES, typed_cells

    from langcell.inference.naming.calibrate import calibrate, fitting_facts
    from langcell.inference.scored_cells import score_data
    from langcell.processing.labels.resolve import resolve_labels

    cells, labels = typed_cells(), resolve_labels(list(TYPES))
    scored = score_data(cells, labels, loaded=loaded, refine=False)
    truth = np.array([list(TYPES).index(name) for name in cells.obs["label"]])
    facts = fitting_facts(loaded, labels, alpha=1.0, reference_cells=0, data="cells", label_column="label")
    run = calibrate(scored.similarity, scored.similarity, truth, fitted_with=facts)
    return {"calibrate": [run.calibration.temperature, run.calibration.threshold]}


def classified(model: Any, processor: Any) -> np.ndarray:
    """What `classify` makes of a classifier."""
    from tiny_labelled import labelled_cells

    from langcell.inference.classification import LoadedClassifier, classify

    cells = labelled_cells(4)
    classify(cells, model=LoadedClassifier(model, processor, "classifier", "0"), progress=False)
    return cells.obsm["langcell_scores"]


def evidence(loaded: Any) -> dict[str, Any]:
    """What the functions say that compare cells with reference cells, and what a model is measured by."""
    from tiny_evidence import TYPES, typed_cells

    import langcell
    from langcell.app.model_worker import ModelWorker
    from langcell.training.evaluation.tasks.zero_shot import evaluate_zero_shot

    cells, found = typed_cells(), {}
    explain: Any = langcell.explain
    given: Any = {"model": loaded, "label_column": "label", "progress": False}
    found["explain"] = [gene.strength for group in explain(cells, **given).groups for gene in group.supporting]
    found["explain a cell"] = explain(cells, cell="cell3", **given).frame()["margin"]
    audit = langcell.audit(cells, **given)
    found["audit"] = [group.verdict.label_share for group in audit.groups if group.verdict is not None]
    langcell.annotate(
        cells, list(TYPES), model=loaded, dtype="float32", progress=False, cluster_column="leiden", tissue="blood"
    )
    found["annotate with reference cells"] = cells.obsm["langcell_scores"]
    found["name_clusters"] = langcell.name_clusters(cells, cluster_column="leiden").probability
    found["app"] = len(ModelWorker(loaded).page_facts().branches)
    with tempfile.TemporaryDirectory() as folder:
        cells.write_h5ad(path := Path(folder, "cells.h5ad"))
        report = evaluate_zero_shot(path, label_column="label", model=loaded, progress=False)
        found["evaluate_zero_shot"] = [value for row in report["alpha_sweep"] for value in row.values()]
    return found


def main() -> None:
    """Run from the command line."""
    folder, classifier_folder, first = sys.argv[1:]
    auto = first == "hub"
    parts = None
    if auto:
        classifier = hub_classifier(classifier_folder, auto=True)
        parts = hub_model(folder, auto=True), hub_processor(folder, auto=True), classifier
    from tiny_labelled import labelled_cells

    import langcell
    from langcell.loading.load import LoadedLangCell

    own = langcell.load(folder, device="cpu")
    own_classifier = langcell.LangCellForCellClassification.from_pretrained(classifier_folder).eval()
    model, processor, classifier = parts or (
        hub_model(folder, auto=False),
        hub_processor(folder, auto=False),
        hub_classifier(classifier_folder, auto=False),
    )
    homes = [type(part).__module__ for part in (model, processor, classifier)]
    wrong = [home for home in homes if not home.startswith("transformers_modules.")]
    wrong += [] if type(own.model) is langcell.LangCellModel else ["langcell.load gave the folder's class"]
    theirs = LoadedLangCell(model, processor, own.model_id, own.revision, own.weights)
    expected, found = results(own), results(theirs)
    expected["classify"] = classified(own_classifier, own.processor)
    found["classify"] = classified(classifier, processor)
    wrong += [name for name in expected if not np.allclose(found[name], expected[name], rtol=0, atol=1e-6)]
    wrong += [f"{name} is empty" for name in expected if not expected[name].size]
    try:
        langcell.annotate(labelled_cells(4), ["B cell", "monocyte"], model=model)
    except ValueError as error:
        wrong += [] if "without its processor; give its folder or Hub id" in str(error) else [str(error)]
    print(json.dumps({"wrong": wrong, "compared": list(expected)}))


main()
