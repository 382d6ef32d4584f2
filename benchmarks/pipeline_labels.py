"""The transformers pipeline of two installs with many labels: how many times as fast is the one as the other.

    python benchmarks/pipeline_labels.py --before OLD/.src --after .src --cells pbmc3k.h5ad --labels 200 --n-cells 500

Each install runs in processes of its own, by turns, on the same cells and texts, one thread each. Both give the best
label of every cell (top_k=1). The clock runs from the AnnData to the results, with the texts encoded inside it. The
ratio is of the medians; that of the CPU time says more on a machine that does other work as well.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def measure(options: argparse.Namespace) -> None:
    """Name the cells once to warm up and once by the clock; prints seconds and labels as JSON."""
    import anndata
    import torch
    from transformers import pipeline

    import langcell

    torch.set_num_threads(1)
    loaded = langcell.load(device="cpu")
    cells = anndata.read_h5ad(options.cells)[: options.n_cells].copy()
    labels = json.loads(options.texts.read_text())
    name_cells = pipeline(
        "zero-shot-cell-annotation", model=loaded.model, processor=loaded.processor, device="cpu", top_k=1
    )
    name_cells(cells[:20].copy(), candidate_labels=dict(list(labels.items())[:10]))
    started, cpu_started = time.perf_counter(), time.process_time()
    results = name_cells(cells, candidate_labels=labels)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    print(json.dumps({"wall": wall, "cpu": cpu, "labels": [result["labels"][0] for result in results]}))


def run(packages: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return what `measure` prints in a process whose langcell is in this folder."""
    command = [sys.executable, __file__, "--measure", "--cells", options.cells, "--texts", options.texts]
    command += ["--n-cells", options.n_cells]
    environment = {**os.environ, "PYTHONPATH": str(packages.resolve()), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{packages}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(options: argparse.Namespace) -> None:
    """Run both installs by turns and print the ratios."""
    from langcell.loading.load import load_config
    from langcell.processing.labels.resolve import resolve_labels

    types = load_config().training_cell_types[: options.labels]
    options.texts.write_text(json.dumps({label.name: label.text for label in resolve_labels(types)}))
    found: dict[str, list[dict[str, Any]]] = {"before": [], "after": []}
    for _ in range(options.repeats):
        for name, runs in found.items():
            runs.append(run(getattr(options, name), options))
            print(f"{name}: {runs[-1]['wall']:.2f} s, CPU {runs[-1]['cpu']:.2f} s", flush=True)
    for clock in ("wall", "cpu"):
        before, after = (statistics.median(run[clock] for run in runs) for runs in found.values())
        print(f"{clock}: {before:.2f} s before, {after:.2f} s after, {before / after:.1f} times as fast")
    both = zip(found["before"][0]["labels"], found["after"][0]["labels"], strict=True)
    print(f"{sum(old != new for old, new in both)} of {len(found['after'][0]['labels'])} cells have another label")


def main() -> None:
    """Compare two installs, or measure the one that is imported here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--before", type=Path, help="folder with the package langcell of the one install")
    parser.add_argument("--after", type=Path, help="that of the other")
    parser.add_argument("--cells", type=Path, required=True, help="h5ad with raw counts")
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--n-cells", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--texts", type=Path, default=Path("label_texts.json.tmp"), help="JSON that is written")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    measure(options) if options.measure else compare(options)


if __name__ == "__main__":
    main()
