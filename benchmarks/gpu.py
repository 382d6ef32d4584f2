"""Everything that is worth knowing of a GPU, in one run of less than six minutes: embeddings and training in bf16.

    python benchmarks/gpu.py --json results/gpu.json
    python benchmarks/gpu.py --size small --device cpu --seconds 0.1      # what the tests run

Measured are the paper's sizes with random weights:

- embeddings of cells of 2,048 genes each, and of cells as long as those of pbmc3k in batches of like length, both by
  `annotate`'s own batches, with each attention that is at hand;
- steps of stage 1 and stage 2 with all of their losses, bf16 autocast, fused AdamW, with cells of 2,048 genes.

MFU is the share of the device's peak that the model's own operations are (`training/speed/flops.py`), without those
that are done twice or for padding. A measurement that the device has no memory for, or no time, is a line that says so.
"""

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from langcell.configuration_langcell import LangCellConfig
from langcell.encoders_langcell import TorchEncoders
from langcell.inference.running.batching import is_out_of_memory, token_batches
from langcell.modeling_langcell import LangCellForPreTraining
from langcell.training.settings.sections import PretrainConfig
from langcell.training.speed.flops import BatchCounts, step_flops
from langcell.training.speed.scaling import base_config
from langcell.training.speed.throughput import peak_flops
from langcell.training.stage.stage import PretrainingStage

GENES, WORDS = 25_424, 60
SIZES = {
    "paper": {"cell": {}, "text": {}, "longest": 2048, "cells": (16, 64, 256), "step": (16, 64)},
    "small": {
        "cell": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64},
        "text": {
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 48,
            "cross_attention_start": 1,
        },
        "longest": 64,
        "cells": (4,),
        "step": (4,),
    },
}


@dataclass
class Clock:
    """Measures work on one device for a while.

    Attributes:
        device: where the work is done.
        seconds: of each measurement, at least one round.
        ends: time (`time.monotonic`) after which nothing new begins.
    """

    device: torch.device
    seconds: float
    ends: float

    def rate(self, work: Callable[[], int]) -> float:
        """Return how many of what `work` returns the number of are done in a second, after a first call."""
        work()
        self._wait()
        done, started = 0, time.perf_counter()
        while True:
            done += work()
            self._wait()
            if (spent := time.perf_counter() - started) >= self.seconds:
                return done / spent

    @property
    def is_over(self) -> bool:
        """Whether the time of the whole run is used up."""
        return time.monotonic() > self.ends

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def attentions(device: torch.device) -> list[str]:
    """Return the implementations of attention that can be measured here."""
    has_flash = device.type == "cuda" and importlib.util.find_spec("flash_attn") is not None
    return ["sdpa", *(["flash_attention_2"] if has_flash else [])]


def model_of(size: dict[str, Any], device: torch.device, *, seed: int = 0) -> LangCellForPreTraining:
    """Return a model with random weights."""
    torch.manual_seed(seed)
    cell = {"vocab_size": GENES + 3, "max_position_embeddings": size["longest"], **size["cell"]}
    model: Any = LangCellForPreTraining(LangCellConfig(cell_config=cell, text_config=size["text"]))
    return model.to(device)


def cells_of(lengths: np.ndarray, device: torch.device, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random genes of cells of these lengths, and their mask, padded to the longest."""
    generator = torch.Generator().manual_seed(seed)
    longest = int(lengths.max())
    mask = (torch.arange(longest) < torch.from_numpy(lengths)[:, None]).long()
    ids = torch.randint(2, GENES, (len(lengths), longest), generator=generator) * mask
    return ids.to(device), mask.to(device)


def lengths_like_pbmc3k(n_cells: int, longest: int, *, seed: int = 0) -> np.ndarray:
    """Return log-normal lengths; the median is that of pbmc3k, or less where cells are short."""
    middle = min(820, longest // 2)
    lengths = np.random.default_rng(seed).lognormal(np.log(middle), 0.35, n_cells).astype(np.int64)
    return np.clip(lengths, 8, longest)


def embedding_rows(size: dict[str, Any], clock: Clock, peak: float | None) -> Iterator[dict[str, Any]]:
    """Measure the embeddings of cells, a row for each attention and batch."""
    model: Any = model_of(size, clock.device)
    model = model.to(torch.bfloat16).eval()
    encoders, longest = TorchEncoders(model), size["longest"]
    for attention in attentions(clock.device):
        model.set_attn_implementation(attention)
        for n_cells in size["cells"]:
            for kind in ("longest", "like pbmc3k"):
                lengths = np.full(n_cells, longest)
                if kind != "longest":
                    lengths = lengths_like_pbmc3k(16 * n_cells, longest)
                batches = [lengths[rows] for rows in token_batches(lengths, n_cells * longest)]
                inputs = [cells_of(batch, clock.device) for batch in batches]

                @torch.inference_mode()
                def embed(inputs: list[Any] = inputs) -> int:
                    return sum(len(encoders.encode_cells(ids, mask, for_match=False)) for ids, mask in inputs)

                counts = BatchCounts.of_lengths(torch.from_numpy(lengths))
                flops = forward_flops(model.config, counts) / len(lengths)
                row = {"what": f"embeddings, cells {kind}", "attention": attention, "cells a batch": n_cells}
                yield row | measured(clock, embed, flops, peak)


def forward_flops(config: LangCellConfig, counts: BatchCounts) -> float:
    """Return the operations of one pass of the cell encoder."""
    objectives = base_config(1).objectives
    return step_flops(config, replace(objectives, cell_cell=replace(objectives.cell_cell, weight=0.0)), counts)[
        "cell encoder"
    ].forward


def training_rows(size: dict[str, Any], clock: Clock, peak: float | None) -> Iterator[dict[str, Any]]:
    """Measure steps of both stages, a row for each stage and batch."""
    for number in (1, 2):
        config = base_config(number)
        for attention in attentions(clock.device):
            for n_cells in size["step"]:
                row = {"what": f"stage {number}", "attention": attention, "cells a batch": n_cells}
                if clock.is_over:
                    yield row | {"note": "no time was left"}
                    continue
                model = model_of(size, clock.device)
                model.set_attn_implementation(attention)
                step, counts = step_of(model.train(), config, n_cells, size["longest"], clock.device)
                work = step_flops(model.config, config.objectives, counts)
                yield row | measured(clock, step, sum(part.total for part in work.values()) / n_cells, peak)


def step_of(
    model: LangCellForPreTraining, config: PretrainConfig, n_cells: int, longest: int, device: torch.device
) -> tuple[Callable[[], int], BatchCounts]:
    """Return a training step that says how many cells it read, and what its batch holds; a text for each cell."""
    stage = PretrainingStage(model, config.objectives)
    optimizer = torch.optim.AdamW(stage.parameters(), lr=1e-4, fused=device.type == "cuda")
    ids, mask = cells_of(np.full(n_cells, longest), device)
    codes = torch.arange(n_cells, device=device)
    batch = {"cell_input_ids": ids, "cell_attention_mask": mask, "cell_description": codes, "cell_type": codes}
    texts = {}
    if stage.reads_texts:
        words = torch.randint(5, model.config.text_config.vocab_size, (n_cells, WORDS), device=device)
        texts = {"input_ids": words, "attention_mask": torch.ones_like(words)}
        texts |= {"text_description": codes, "text_type": codes, "own_text": codes}

    def step() -> int:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = stage(batch | texts, draw=0)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return n_cells

    lengths = torch.full((n_cells,), longest)
    if not texts:
        return step, BatchCounts.of_lengths(lengths)
    negatives = config.objectives.cell_text_matching.negatives
    word_counts = torch.full((n_cells,), WORDS)
    return step, BatchCounts.of_lengths(lengths, word_counts, torch.arange(n_cells), negatives=negatives)


def measured(clock: Clock, work: Callable[[], int], flops: float, peak: float | None) -> dict[str, Any]:
    """Return cells a second, their operations and the peak memory; or a note why there are none."""
    if clock.is_over:
        return {"note": "no time was left"}
    on_gpu = clock.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(clock.device)
    try:
        rate = clock.rate(work)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        rate = None
    if rate is None:  # outside the except clause, whose error would keep the tensors alive
        if on_gpu:
            torch.cuda.empty_cache()
        return {"note": "no memory for it"}
    found: dict[str, Any] = {"cells/s": _short(rate), "TFLOP/s": _short(rate * flops / 1e12)}
    if peak is not None:
        found["MFU"] = _short(rate * flops / peak)
    if on_gpu:
        found["peak GiB"] = round(torch.cuda.max_memory_allocated(clock.device) / 2**30, 1)
    return found


def _short(number: float) -> float:
    """Return a number to three digits."""
    return float(f"{number:.3g}")


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    columns = ["what", "attention", "cells a batch", "cells/s", "TFLOP/s", "MFU", "peak GiB", "note"]
    lines = ["| " + " | ".join(columns) + " |", "|---|---|" + "---:|" * 5 + "---|"]
    lines += ["| " + " | ".join(str(row.get(name, "")) for name in columns) + " |" for row in rows]
    return "\n".join(lines)


def run(size: str, device: torch.device, *, seconds: float, minutes: float) -> dict[str, Any]:
    """Measure everything; prints each row when it is there."""
    clock = Clock(device, seconds, time.monotonic() + 60 * minutes)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    peak = peak_flops(device, precision="bf16")
    rows: list[dict[str, Any]] = []
    for part in (embedding_rows, training_rows):
        for row in part(SIZES[size], clock, peak):
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    facts = {"device": name, "size": size, "torch": torch.__version__, "peak TFLOP/s": peak and round(peak / 1e12, 1)}
    return facts | {"rows": rows}


def main() -> None:
    """Print the table, and write it where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="paper")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--minutes", type=float, default=5.0, help="nothing new begins after so many")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    found = run(options.size, torch.device(options.device), seconds=options.seconds, minutes=options.minutes)
    print(json.dumps({name: value for name, value in found.items() if name != "rows"}))
    print(table(found["rows"]))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
