"""What ONNX gives and costs on a CPU: speed and accuracy beside torch, same cells, same process.

    langcell export onnx langcell-mini -o mini-onnx
    python benchmarks/onnx_ways.py mini-onnx --threads 2
    python benchmarks/onnx_ways.py mini-onnx --threads 2 --cells pbmc3k.h5ad --n-cells 600

Without `--cells`, the 700 blood cells of `langcell demo` with their ten sorted populations as labels. Every way does
what `langcell annotate` does with `--rerank full`, from counts to scores; they take turns, and the median of the
repeats counts. On a machine that does other work as well, `--threads 1` and the CPU time say more. Scores are
compared with torch in float32.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anndata import AnnData, read_h5ad
from sklearn.metrics import accuracy_score, f1_score

import langcell
from langcell.processing.labels.resolve import Label, resolve_labels
from langcell.sample_data import sample_cells

# Way -> what `annotate` is given; of the torch ways the model is loaded again, for bfloat16 rounds its weights.
REFERENCE = "torch float32"


def load_ways(folder: Path, threads: int) -> dict[str, Any]:
    """Return the models, all loaded before the clock runs."""
    source = langcell.OnnxLangCell(folder, threads=threads)
    ways: dict[str, Any] = {
        f"torch {dtype}": langcell.load(dtype=dtype, device="cpu") for dtype in ("float32", "bfloat16")
    }
    if ways[REFERENCE].revision != source.revision:
        raise ValueError(f"{folder} was made of {source.model_id} {source.revision}, not of the bundled weights.")
    return ways | {"onnx float32": source}


def named(cells: AnnData, labels: list[Label], model: Any) -> AnnData:
    """Return a copy of the cells with labels and all scores."""
    options = {"rerank": "full", "progress": False, "max_batch_tokens": 8192}
    result = langcell.annotate(cells.copy(), labels, model=model, **options)
    assert result is not None, "an AnnData was given"
    return result


def measure(cells: AnnData, truth: np.ndarray, ways: dict[str, Any], *, repeats: int) -> list[dict[str, Any]]:
    """Return a row for each way: speed, accuracy and distance from the reference."""
    names = sorted(set(truth))
    labels = resolve_labels(names)
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, AnnData] = {}
    for _ in range(repeats):
        for name, model in ways.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            results[name] = named(cells, labels, model)
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - cpu_started)
            print(f"  {name}: {wall[name][-1]:.1f} s, CPU {cpu[name][-1]:.1f} s", flush=True)
    reference, rows = results[REFERENCE], []
    for name, result in results.items():
        found = result.obs["langcell_label"].astype(str).to_numpy()
        difference = np.abs(_scores(result) - _scores(reference))
        rows.append(
            {
                "way": name,
                "cells/s": len(cells) / statistics.median(wall[name]),
                "cells/CPU s": len(cells) / statistics.median(cpu[name]),
                "times torch": statistics.median(wall[REFERENCE]) / statistics.median(wall[name]),
                "by CPU time": statistics.median(cpu[REFERENCE]) / statistics.median(cpu[name]),
                "accuracy": accuracy_score(truth, found),
                "macro-F1": f1_score(truth, found, average="macro", labels=names, zero_division=0),
                "same labels": float((found == reference.obs["langcell_label"].astype(str).to_numpy()).mean()),
                "largest difference of a score": float(np.nanmax(difference)),
            }
        )
    return rows


def _scores(cells: AnnData) -> np.ndarray:
    return np.asarray(cells.obsm["langcell_scores"])


def print_table(rows: list[dict[str, Any]]) -> None:
    """The rows as Markdown."""
    forms = ("{}", "{:.1f}", "{:.1f}", "{:.2f}", "{:.2f}", "{:.3f}", "{:.3f}", "{:.1%}", "{:.1e}")
    print("|", " | ".join(rows[0]), "|")
    print("|---" * len(forms) + "|")
    for row in rows:
        print("|", " | ".join(form.format(value) for form, value in zip(forms, row.values(), strict=True)), "|")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="an export of the bundled weights with --int8")
    parser.add_argument("--cells", type=Path, help="h5ad with raw counts; the demo's 700 cells when not given")
    parser.add_argument("--label-column", default="cell_type", help="names that the Cell Ontology knows")
    parser.add_argument("--n-cells", type=int, help="so many of them, drawn at random; all when not given")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cells = sample_cells() if options.cells is None else read_h5ad(options.cells)
    cells = cells[cells.obs[options.label_column].notna().to_numpy()].copy()
    if options.n_cells is not None:
        chosen = np.random.default_rng(0).choice(cells.n_obs, min(options.n_cells, cells.n_obs), replace=False)
        cells = cells[np.sort(chosen)].copy()
    truth = cells.obs[options.label_column].astype(str).to_numpy()
    print(f"{len(cells)} cells, {len(set(truth))} labels, {options.threads} threads")
    print_table(measure(cells, truth, load_ways(options.folder, options.threads), repeats=options.repeats))


if __name__ == "__main__":
    main()
