"""A folder's stored self-test: inputs and what the model made of them when the folder was written.

This file is also run as a script, by itself, in a process that knows nothing of the langcell package: so that the
folder's own code is tested, as whoever downloads it runs it. It therefore imports nothing of ours.

    python self_test.py FOLDER     prints a JSON list of what differs; an empty list means that all is well
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

SELF_TEST_FILE = "self_test.safetensors"
# Float32 sums come out in another order on another processor: about 1e-6 for embeddings, 20 times that for cos / 0.05.
TOLERANCE = 1e-4
_TEXTS = (
    "cell type: b cell. a lymphocyte of b lineage that is capable of b cell mediated immunity; ",
    "cell type: erythrocyte. a red blood cell; ",
    "cell type: neuron; tissue: cerebral cortex; disease: normal; ",
    "T cell",
)
_GENES_EXPRESSED = (40, 12, 1)  # of three cells: of different lengths, so that padding is tested as well


def write_self_test(folder: Path, model: Any, processor: Any, *, seed: int = 0) -> None:
    """Store counts, label texts and what processor and model (in evaluation mode, float32, CPU) make of them."""
    gene_ids = list(processor.feature_extractor.vocabulary.gene_ids)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(gene_ids), generator=generator)[: max(_GENES_EXPRESSED)].sort().values
    counts = torch.zeros(len(_GENES_EXPRESSED), len(chosen))
    for row, n_genes in enumerate(_GENES_EXPRESSED):
        expressed = torch.randperm(len(chosen), generator=generator)[:n_genes]
        counts[row, expressed] = torch.randint(1, 30, (len(expressed),), generator=generator).float()
    names = [gene_ids[i] for i in chosen]
    batch = encode(processor, counts, names, list(_TEXTS))
    tensors = {"counts": counts} | {f"input.{k}": v for k, v in batch.items()}
    tensors |= {f"output.{k}": v for k, v in compute(model, batch).items()}
    metadata = {"gene_names": json.dumps(names), "texts": json.dumps(_TEXTS)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / SELF_TEST_FILE, metadata=metadata)


def encode(processor: Any, counts: Tensor, gene_names: list[str], texts: list[str]) -> dict[str, Tensor]:
    """Return the model's inputs for cells (cells x genes counts) and texts."""
    return dict(processor(cells=counts.numpy(), gene_names=gene_names, text=texts, return_tensors="pt"))


@torch.inference_mode()
def compute(model: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return everything that LangCell says about cells and texts: embeddings, similarity, match, score, cell states."""
    output = model(**batch, return_match_logits=True)
    similarity, match = output.logits_per_cell, output.match_logits.softmax(-1)[..., 1]
    alpha = model.config.alpha
    return {
        "cell_states": output.cell_model_output.last_hidden_state * batch["cell_attention_mask"].unsqueeze(-1),
        "cell_embeds": output.cell_embeds,
        "text_embeds": output.text_embeds,
        "similarity": similarity,
        "match": match,
        "score": alpha * similarity.softmax(-1) + (1 - alpha) * match.softmax(-1),
    }


def run_self_test(folder: Path) -> list[str]:
    """Load model and processor from the folder, with the folder's code, and list what differs from the stored test."""
    from transformers import AutoModel, AutoProcessor

    model = AutoModel.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    with safe_open(folder / SELF_TEST_FILE, framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        gene_names, texts = (json.loads(file.metadata()[name]) for name in ("gene_names", "texts"))
    batch = encode(processor, stored["counts"], gene_names, texts)
    differences = [_compare(name, batch[name], stored[f"input.{name}"], tolerance=0) for name in batch]
    if not any(differences):
        outputs = compute(model, batch)
        differences = [_compare(name, outputs[name], stored[f"output.{name}"], tolerance=TOLERANCE) for name in outputs]
    return [difference for difference in differences if difference]


def _compare(name: str, found: Tensor, stored: Tensor, *, tolerance: float) -> str:
    if found.shape != stored.shape:
        return f"self-test: {name} has shape {tuple(found.shape)}, stored is {tuple(stored.shape)}"
    difference = (found - stored).abs().max().item()
    if difference <= tolerance:
        return ""
    return f"self-test: {name} differs by {difference:.2g}, at most {tolerance:g} is allowed"


if __name__ == "__main__":
    print(json.dumps(run_self_test(Path(sys.argv[1]))))
