"""Seconds that one installed build takes to score cells by a model of the paper's size: see `against_build.py`.

    python benchmarks/full_size_run.py result.json --dtype bfloat16 --cells 16

It runs in builds as old as commit 2d6385c, whose modules have other names. Weights are random, and so are the genes;
lengths are log-normal as those of pbmc3k. Eight texts are encoded inside the clock, and all of them are matched.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import langcell
from langcell.configuration_langcell import LangCellConfig
from langcell.modeling_langcell import LangCellModel

LABELS, LONGEST, GENES = 8, 2048, 17_000
TEXT_TOKENS = 24


def full_size_model(seed: int = 0) -> Any:
    """Return the paper's sizes with random weights whose labels differ (see `zero_shot_inputs.WEIGHT_SPREAD`)."""
    torch.manual_seed(seed)
    cell = {"max_position_embeddings": LONGEST, "initializer_range": 0.06}
    return LangCellModel(LangCellConfig(cell_config=cell, text_config={"initializer_range": 0.06})).eval()


def random_cells(n_cells: int, seed: int = 0) -> list[np.ndarray]:
    """Return ids of cells of different lengths."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(np.log(820), 0.35, n_cells).astype(int), 200, LONGEST)
    return [(2 + rng.choice(GENES, length, replace=False)).astype(np.uint16) for length in lengths]


def scorer(model: Any, tokens: dict[str, torch.Tensor]) -> Any:
    """Return what scores a batch of cells, by the modules of whichever build this is."""
    try:
        from langcell.encoders_langcell import TorchEncoders
        from langcell.scoring_langcell import EncodedLabels, score_cells
        from langcell.text_blocks_langcell import encode_tokens
    except ImportError:  # as of commit 2d6385c
        from langcell.inference.zero_shot import (  # pyright: ignore[reportMissingImports]
            encode_labels,
            score_cells,
        )

        labels, encoders = encode_labels(model, **tokens), model
    else:
        encoders = TorchEncoders(model)
        labels = EncodedLabels(encode_tokens(encoders, tokens["input_ids"], tokens["attention_mask"]))
    return lambda ids, mask: (score_cells(encoders, labels, ids, mask, alpha=0.1, rerank="full").score,)


def main() -> None:
    """Write {"wall": seconds, "processor": seconds}."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--cells", type=int, default=16)
    options = parser.parse_args()
    try:
        from langcell.inference.running.batching import for_each_batch
        from langcell.inference.running.memory import find_max_batch_tokens
    except ImportError:
        from langcell.inference.batching import for_each_batch  # pyright: ignore[reportMissingImports]
        from langcell.inference.memory import find_max_batch_tokens  # pyright: ignore[reportMissingImports]
    bundled = langcell.load(device="cpu")
    model = full_size_model().to(getattr(torch, options.dtype))
    loaded = type(bundled)(model, bundled.processor, "full size, random weights", "seed 0")
    tokens = torch.randint(5, 6000, (LABELS, TEXT_TOKENS), generator=torch.Generator().manual_seed(0))
    cells, budget = random_cells(options.cells), find_max_batch_tokens(model)
    wall, processor = time.perf_counter(), time.process_time()
    score = scorer(model, {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)})
    for_each_batch(loaded, cells, budget, score)
    found = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    options.result.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
