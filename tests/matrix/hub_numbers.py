"""The numbers that a Hub folder gives without langcell; run as a script in an environment of any supported version.

    python hub_numbers.py FOLDER GOLDEN [--write]

compares with the file GOLDEN to 1e-5, or writes it. It prints the versions that it ran with and the differences.
"""

import json
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoProcessor,
    pipeline,
)

TOLERANCE = 1e-5
# Beyond it is no rounding: the file GOLDEN is of another model.
MOST_BY_ROUNDING = 1e-2
TEXTS = ["cell type: b cell; ", "cell type: monocyte; a myeloid cell of the blood. ", "cell type: hepatocyte; "]
N_CELLS, N_GENES = 6, 400


def cells(vocabulary: Any) -> tuple[np.ndarray, list[str]]:
    """Counts of cells of some genes, the same everywhere: by a formula, since random generators may change."""
    genes = list(vocabulary.gene_ids[::40][:N_GENES])
    cell, gene = np.meshgrid(np.arange(N_CELLS), np.arange(len(genes)), indexing="ij")
    counts = (cell * 37 + gene * 101 + cell * gene * 13) % 17 * ((gene + cell) % 3 > 0)
    return counts.astype(np.float32), genes


def fill(parameters: Any) -> None:
    """Give parameters that no file holds values by a formula."""
    for number, parameter in enumerate(parameters):
        with torch.no_grad():
            places = torch.arange(parameter.numel(), dtype=torch.float64)
            parameter.copy_((torch.sin(places + number) * 0.05).reshape(parameter.shape).to(parameter.dtype))


def numbers_of(folder: str) -> dict[str, Any]:
    """What each way to use the folder gives, as lists."""
    trusted = {"trust_remote_code": True}
    processor: Any = AutoProcessor.from_pretrained(folder, **trusted)
    counts, genes = cells(processor.feature_extractor.vocabulary)
    batch = processor(cells=counts, gene_names=genes, text=TEXTS, return_tensors="pt")
    found: dict[str, Any] = {"AutoProcessor": {name: value.tolist() for name, value in batch.items()}}
    model, report = AutoModel.from_pretrained(folder, output_loading_info=True, **trusted)
    assert not report["missing_keys"], report
    cell_inputs = {name: value for name, value in batch.items() if name.startswith("cell")}
    with torch.inference_mode():
        output = model.eval()(**batch)
        found["AutoModel"] = {"logits": output.logits_per_cell.tolist(), "cells": output.cell_embeds[:, :8].tolist()}
        head, report = AutoModelForPreTraining.from_pretrained(folder, output_loading_info=True, **trusted)
        assert not report["missing_keys"], report
        logits = head.eval()(**batch, return_masked_gene_logits=True).masked_gene_logits
        found["pre-training head"] = logits[:, :4, ::997].tolist()
        classifier = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, **trusted)
        fill(parameter for name, parameter in classifier.named_parameters() if name.startswith("classifier"))
        found["classification"] = classifier.eval()(**cell_inputs).logits.tolist()
    named = pipeline("zero-shot-cell-annotation", model=folder, **trusted)(
        [ids[ids != processor.feature_extractor.vocabulary.pad_token_id].tolist() for ids in batch["cell_input_ids"]],
        candidate_labels=["B cell", "monocyte", "hepatocyte"],
    )
    found["pipeline"] = [
        [score for _, score in sorted(zip(row["labels"], row["scores"], strict=True))] for row in named
    ]
    found["peft"] = adapted(folder, batch)
    return found


def adapted(folder: str, batch: Any) -> list[Any] | None:
    """Logits with an adapter that was saved and read again by peft; None where peft is not installed."""
    try:
        from peft import LoraConfig, PeftModel, get_peft_model
    except ImportError:
        return None
    targets = r"cell_encoder\.encoder\.layer\.\d+\.attention\.self\.(query|value)"
    wrapped: Any = get_peft_model(
        AutoModel.from_pretrained(folder, trust_remote_code=True), LoraConfig(r=4, lora_alpha=8, target_modules=targets)
    )
    fill(parameter for name, parameter in wrapped.named_parameters() if ".lora_" in name)
    with tempfile.TemporaryDirectory() as place, torch.inference_mode():
        wrapped.save_pretrained(place)
        read: Any = PeftModel.from_pretrained(AutoModel.from_pretrained(folder, trust_remote_code=True), place)
        return read.eval()(**batch).logits_per_cell.tolist()


def greatest_difference(found: Any, golden: Any) -> float:
    """Of two structures of numbers of the same shape; infinite where the shapes differ."""
    if isinstance(golden, dict):
        if not isinstance(found, dict) or found.keys() != golden.keys():
            return float("inf")
        return max(greatest_difference(found[key], golden[key]) for key in golden)
    one, other = np.asarray(found, dtype=np.float64), np.asarray(golden, dtype=np.float64)
    # Of large values the digits count: another processor rounds them otherwise.
    return (
        float((np.abs(one - other) / np.maximum(1.0, np.abs(other))).max())
        if one.shape == other.shape
        else float("inf")
    )


def versions(*names: str) -> dict[str, str]:
    """Versions of packages; those that are not installed are left out."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> int:
    """Run from the command line; 1 where numbers differ by more than rounding, 3 by rounding."""
    folder, golden, *more = sys.argv[1:]
    sys.modules["langcell"] = None  # type: ignore[assignment]  # makes any import of it fail
    found = numbers_of(folder)
    if more == ["--write"]:
        Path(golden).write_text(json.dumps(found) + "\n", encoding="utf-8")
        return 0
    expected = json.loads(Path(golden).read_text(encoding="utf-8"))
    differences = {
        name: greatest_difference(values, expected[name]) for name, values in found.items() if values is not None
    }
    known = versions("torch", "transformers", "tokenizers", "huggingface_hub", "numpy", "peft")
    print(json.dumps({"python": sys.version.split()[0], "versions": known, "differences": differences}))
    greatest = max(differences.values())
    if not greatest <= MOST_BY_ROUNDING:
        return 1
    return 3 if greatest > TOLERANCE else 0


if __name__ == "__main__":
    sys.exit(main())
