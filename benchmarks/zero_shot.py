"""Zero-shot naming against the plain reference: same weights, same cells, same process.

    python benchmarks/zero_shot.py full-size --cells pbmc3k.h5ad --labels 8 --n-cells 32 --plain-cells 8 \
        --max-batch-tokens 4096
    python benchmarks/zero_shot.py bundled --cells pbmc3k.h5ad --labels 200 --n-cells 100 --alpha 0.5 0.1
    python benchmarks/zero_shot.py full-size --device cuda --labels 8 --n-cells 11527 --plain-cells 16
    python benchmarks/zero_shot.py plot

Each run adds its figures to benchmarks/results/zero_shot.json; `plot` draws them beside it. `plain` is
`plain_zero_shot.py`; the others are what `langcell annotate` runs: texts encoded once, cells of like length batched
within a token budget, and the match of all labels (full) or as many as are needed to be certain (exact). The clock runs
from the tokenized cells and texts to the scores in memory, with the texts encoded inside it. Methods take turns, and
the median of the repeats counts. `--plain-cells` gives the reference the first so many of the cells only, padded as if
all were there: cells a second of both are then compared, and scores on the cells that both have.

Wall time means nothing on a machine that does other work as well: there, `--threads 1` and the CPU time say more.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from plain_zero_shot import plain_scores
from torch import Tensor
from zero_shot_inputs import chosen_cells, full_size_cells, full_size_model, label_texts

from langcell.encoders_langcell import TorchEncoders
from langcell.inference.running.batching import for_each_batch
from langcell.inference.running.memory import TEXT_TOKENS_PER_GENE, find_max_batch_tokens
from langcell.loading.load import LoadedLangCell, load
from langcell.processing.rank_values import RankedCells
from langcell.scoring_langcell import EncodedLabels, score_cells
from langcell.text_blocks_langcell import encode_tokens

RESULTS = Path(__file__).parent / "results" / "zero_shot.json"
PLAIN = "plain float32"


@dataclass(frozen=True)
class Method:
    """A way to name the cells: "full" or "exact" in a dtype."""

    rerank: str
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """As in "exact bfloat16"."""
        return f"{self.rerank} {str(self.dtype).removeprefix('torch.')}"


@dataclass(frozen=True)
class Case:
    """One model, its cells and the texts of the labels, all tokenized."""

    loaded: LoadedLangCell
    ranked: RankedCells
    tokens: dict[str, Tensor]
    alpha: float
    max_batch_tokens: int | None

    def texts(self) -> list[Tensor]:
        """Return each text's own tokens, without padding."""
        return [
            ids[mask.bool()] for ids, mask in zip(self.tokens["input_ids"], self.tokens["attention_mask"], strict=True)
        ]


def our_scores(case: Case, rerank: str) -> tuple[Tensor, int]:
    """Scores (NaN where not evaluated) in the order of the cells, and the number of pairs evaluated."""
    model = case.loaded.model
    encoders = TorchEncoders(model)
    tokens = {name: part.to(model.device) for name, part in case.tokens.items()}
    encoded = EncodedLabels(encode_tokens(encoders, **tokens))
    budget = case.max_batch_tokens or find_max_batch_tokens(model)

    def score(ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        text_tokens = max(4096, TEXT_TOKENS_PER_GENE * ids.numel())  # as `annotate` has it
        found = score_cells(encoders, encoded, ids, mask, alpha=case.alpha, rerank=rerank, tokens_per_match=text_tokens)
        return found.score, (~found.match.isnan()).sum(-1)

    scores, n_pairs = for_each_batch(case.loaded, case.ranked, budget, score)
    return torch.from_numpy(scores), int(n_pairs.sum())


@dataclass(frozen=True)
class Spent:
    """Seconds of one run: of wall time, and of this process's CPU time."""

    wall: float
    cpu: float


def timed(run: Callable[[], Any], device: torch.device) -> tuple[Any, Spent]:
    """Return what it returns, and what it took."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started, cpu_started = time.perf_counter(), time.process_time()
    result = run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return result, Spent(time.perf_counter() - started, time.process_time() - cpu_started)


def measure(case: Case, methods: list[Method], *, repeats: int, n_plain: int) -> dict[str, dict[str, Any]]:
    """Seconds of every method in every repeat, and how its scores and labels compare with the reference's."""
    device = case.loaded.model.device
    model = case.loaded.model
    seconds: dict[str, list[Spent]] = {PLAIN: [], **{method.name: [] for method in methods}}
    scores: dict[str, Tensor] = {}
    pairs: dict[str, int] = {}
    cells, texts = list(case.ranked), case.texts()
    for repeat in range(repeats):
        model.to(torch.float32)
        if n_plain:
            scores[PLAIN], spent = timed(
                lambda: plain_scores(model, cells, texts, alpha=case.alpha, n_cells=n_plain), device
            )
            seconds[PLAIN].append(spent)
            print(f"  {repeat}: {PLAIN}: {spent.wall:.2f} s, CPU {spent.cpu:.2f} s", flush=True)
        for method in sorted(methods, key=lambda method: method.dtype != torch.float32):
            model.to(method.dtype)  # float32 first: rounded weights do not come back
            (scores[method.name], pairs[method.name]), spent = timed(
                lambda m=method: our_scores(case, m.rerank), device
            )
            seconds[method.name].append(spent)
            print(f"  {repeat}: {method.name}: {spent.wall:.2f} s, CPU {spent.cpu:.2f} s", flush=True)
        _restore(case)
    return {name: _summary(name, seconds, scores, pairs, case, n_plain) for name in seconds if seconds[name]}


_WEIGHTS: dict[int, dict[str, Tensor]] = {}


def _keep(case: Case) -> None:
    _WEIGHTS[id(case.loaded.model)] = {name: w.clone() for name, w in case.loaded.model.state_dict().items()}


def _restore(case: Case) -> None:
    case.loaded.model.to(torch.float32).load_state_dict(_WEIGHTS[id(case.loaded.model)])


def _summary(
    name: str,
    seconds: dict[str, list[Spent]],
    scores: dict[str, Tensor],
    pairs: dict[str, int],
    case: Case,
    n_plain: int,
) -> dict[str, Any]:
    n_cells, n_labels = (n_plain if name == PLAIN else len(case.ranked)), len(case.tokens["input_ids"])
    found: dict[str, Any] = {
        "cells": n_cells,
        "wall_s": [round(spent.wall, 3) for spent in seconds[name]],
        "cpu_s": [round(spent.cpu, 3) for spent in seconds[name]],
        "cells_per_s": n_cells / statistics.median(spent.wall for spent in seconds[name]),
        "cells_per_cpu_s": n_cells / statistics.median(spent.cpu for spent in seconds[name]),
        "pairs_evaluated": pairs.get(name, n_cells * n_labels) / (n_cells * n_labels),
    }
    best = scores[name].nan_to_num(-1).argmax(-1)
    if n_plain:
        reference = scores[PLAIN]
        both = list(zip(seconds[name], seconds[PLAIN], strict=True))
        share = n_cells / n_plain
        found["times_plain"] = statistics.median(share * plain.wall / ours.wall for ours, plain in both)
        found["times_plain_cpu"] = statistics.median(share * plain.cpu / ours.cpu for ours, plain in both)
        found["equal_labels"] = float((best[:n_plain] == reference.argmax(-1)).float().mean())
        if not scores[name].isnan().any():
            found["largest_difference"] = float((scores[name][:n_plain] - reference).abs().max())
    full = f"full {name.split()[1]}"
    if name.startswith("exact") and full in scores:
        found["labels_other_than_full"] = int((best != scores[full].argmax(-1)).sum())
    float32 = scores.get("full float32")
    if float32 is not None and "bfloat16" in name:
        found["labels_as_full_float32"] = float((best == float32.argmax(-1)).float().mean())
    return found


def run_case(options: argparse.Namespace, n_labels: int, alpha: float) -> dict[str, Any]:
    """One line of the table: a model, a number of labels and an alpha."""
    device = options.device
    if options.what == "bundled":
        loaded = load(device=device, dtype="float32")
        ranked = chosen_cells(loaded, options.cells, options.n_cells)
    else:
        loaded, ranked = full_size_model(device), full_size_cells(options.cells, options.n_cells)
    tokens = loaded.processor(text=[label.text for label in label_texts(n_labels)], return_tensors="pt")
    case = Case(loaded, ranked, dict(tokens), alpha, options.max_batch_tokens)
    _keep(case)
    methods = [Method(rerank, dtype) for dtype in (torch.float32, torch.bfloat16) for rerank in ("full", "exact")]
    n_plain = min(options.n_cells if options.plain_cells is None else options.plain_cells, len(ranked))
    print(f"{options.what}, {n_labels} labels, alpha {alpha}, {len(ranked)} cells", flush=True)
    report = {
        "what": options.what,
        "labels": n_labels,
        "alpha": alpha,
        "genes_per_cell": float(ranked.lengths.mean()),
        "tokens_per_label": float(tokens["attention_mask"].sum() / n_labels),
        "device": _device_name(loaded.model.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "weights": loaded.revision,
        "methods": measure(case, methods, repeats=options.repeats, n_plain=n_plain),
    }
    if loaded.model.device.type == "cuda":
        add_shares_of_peak(report, case)
    return report


def add_shares_of_peak(report: dict[str, Any], case: Case) -> None:
    """On a GPU: operations that the cell encoder alone needs, without padding, as a share of the device's peak.

    The texts' part is left out, so that the share is a lower bound.
    """
    from langcell.training.speed.throughput import peak_flops

    cell, lengths = case.loaded.config.cell_config, case.ranked.lengths.astype(float)
    per_token = 2 * (4 * cell.hidden_size**2 + 2 * cell.hidden_size * cell.intermediate_size)
    attention = 4 * lengths**2 * cell.hidden_size
    operations = cell.num_hidden_layers * float((lengths * per_token + attention).mean())
    for name, found in report["methods"].items():
        precision = "bf16" if "bfloat16" in name else "no"
        peak = peak_flops(case.loaded.model.device, precision=precision)
        found["share_of_peak"] = None if peak is None else operations * found["cells_per_s"] / peak


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"


def print_table(report: dict[str, Any]) -> None:
    """The report's methods as a Markdown table."""
    print("\n| method | cells/s | times plain | by CPU time | equal labels | largest difference | pairs evaluated |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, found in report["methods"].items():
        cells = [f"{found['cells_per_s']:.3g}"]
        forms = {"times_plain": "{:.1f}", "times_plain_cpu": "{:.1f}", "equal_labels": "{:.1%}"}
        for key, form in {**forms, "largest_difference": "{:.1e}"}.items():
            cells.append(form.format(found[key]) if key in found else "–")
        cells.append(f"{found['pairs_evaluated']:.1%}")
        print(f"| {name} | {' | '.join(cells)} |")
    print(flush=True)


def store(report: dict[str, Any], path: Path) -> None:
    """Add a report to the results, in place of an earlier one of the same case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    reports = json.loads(path.read_text()) if path.exists() else []
    key = [report[name] for name in ("what", "labels", "alpha", "device")]
    kept = [old for old in reports if [old[name] for name in ("what", "labels", "alpha", "device")] != key]
    path.write_text(json.dumps([*kept, report], indent=1) + "\n")


def plot(path: Path) -> Path:
    """Draw times plain of every case; returns the picture's path."""
    from matplotlib.figure import Figure

    reports = sorted(json.loads(path.read_text()), key=lambda r: (r["what"] != "full-size", r["labels"], -r["alpha"]))
    names = [f"full {dtype}" for dtype in ("float32", "bfloat16")] + [f"exact {d}" for d in ("float32", "bfloat16")]
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(names):
        at = [i + 0.2 * (place - 1.5) for i in range(len(reports))]
        heights = [report["methods"].get(name, {}).get("times_plain", 0) for report in reports]
        bars = axes.bar(at, heights, width=0.2, label=name)
        axes.bar_label(
            bars, labels=[f"{height:.0f}" if height >= 10 else f"{height:.1f}" for height in heights], fontsize=6
        )
    axes.set_yscale("log")
    axes.set_xticks(range(len(reports)), [f"{r['what']}\n{r['labels']} labels\nalpha {r['alpha']}" for r in reports])
    axes.axhline(1, color="grey", linewidth=1)
    axes.set(ylabel="times the plain reference", title=f"Zero-shot naming, {reports[0]['device']}")
    axes.legend(ncols=4, fontsize=8, loc="upper left")
    axes.margins(y=0.2)
    picture = path.with_suffix(".png")
    figure.savefig(picture, dpi=100)
    return picture


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["full-size", "bundled", "plot"])
    parser.add_argument("--cells", type=Path, help="h5ad with raw counts; full-size can do without")
    parser.add_argument("--labels", type=int, nargs="+", default=[8])
    parser.add_argument("--alpha", type=float, nargs="+", default=[0.1])
    parser.add_argument("--n-cells", type=int, default=8)
    parser.add_argument("--plain-cells", type=int, help="the first so many of them for the reference; 0 for none")
    parser.add_argument(
        "--max-batch-tokens", type=int, help="as in annotate; found from the free memory when not given"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.what == "plot":
        print(f"Wrote {plot(options.output)}")
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    for n_labels in options.labels:
        for alpha in options.alpha:
            report = run_case(options, n_labels, alpha)
            store(report, options.output)
            print_table(report)


if __name__ == "__main__":
    main()
