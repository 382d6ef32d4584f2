"""Watching a run: trackers, and `losses.png` from its log."""

import dataclasses
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from langcell.processing.files.atomic_output import atomic_output
from langcell.training.settings.sections import PretrainConfig

RUN_NAME = "trackers"
_INSTALL = {"tensorboard": '"langcell[train]"'}
# Drawn in panels of their own, under the losses.
_OTHERS = ("lr", "grad_norm")


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker that is not installed, before anything is trained.

    Raises:
        ValueError: it is not; the message says how to get it.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            wanted = _INSTALL.get(name, name)
            raise ValueError(f"trackers names {name}, which is not installed: pip install {wanted}, or trackers=[].")


def start_trackers(accelerator: Accelerator, config: PretrainConfig, *, first_step: int) -> None:
    """Open the trackers of an accelerator that was made with `log_with=config.trackers`.

    TensorBoard files go to `<output_dir>/trackers`. A run that goes on after a kill hides there what its predecessor
    wrote after its last checkpoint. Trackio keeps its database there, too, unless `TRACKIO_DIR` names another folder;
    a run that goes on adds to the run of the same name.

    Args:
        accelerator: accelerator of the run.
        config: stored with the run, flat, in wandb and Trackio.
        first_step: steps done before.
    """
    options: dict[str, dict[str, Any]] = {
        "tensorboard": {"purge_step": first_step + 1},
        "trackio": {
            "name": Path(config.output_dir).name,
            "resume": "allow",
            "auto_log_gpu": False,
            "auto_log_cpu": False,
        },
    }
    if config.trackers:
        wanted = {name: options[name] for name in config.trackers if name in options}
        flat = flatten(dataclasses.asdict(config)) if {"trackio", "wandb"} & set(config.trackers) else None
        if "trackio" in config.trackers:  # it reads the variable when it is imported, which is now
            os.environ.setdefault("TRACKIO_DIR", str(Path(config.output_dir, RUN_NAME).resolve()))
        accelerator.init_trackers(RUN_NAME, config=flat, init_kwargs=wanted)


def stop_trackers(accelerator: Accelerator) -> None:
    """Close them. Not `end_training`, which also takes the processes apart: a recipe may go on with its next stage."""
    for tracker in accelerator.trackers:
        tracker.finish()


def shown_on_the_bar(metrics: Mapping[str, float]) -> dict[str, str]:
    """Return what a progress bar shows of a step: the loss, and the accuracies of its parts, which are called so.

    Example:
        >>> shown_on_the_bar({"loss": 6.5, "masked_gene": 6.5, "masked_gene_accuracy": 0.02, "cells_per_second": 128.0})
        {'loss': '6.5', 'accuracy': 'masked_gene 2%', 'cells_per_second': '128'}
    """
    accuracies = [name for name in metrics if name.endswith("_accuracy") and not name.startswith("validation_")]
    words = ", ".join(f"{name.removesuffix('_accuracy')} {metrics[name]:.0%}" for name in accuracies)
    return {
        "loss": f"{metrics['loss']:.3g}",
        **({"accuracy": words} if words else {}),
        "cells_per_second": f"{metrics['cells_per_second']:.3g}",
    }


def flatten(tree: dict[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Return a nested config as one level with dots; lists as text.

    Example:
        >>> flatten({"batch": {"size": 8}, "freeze": ["a"]})
        {'batch.size': 8, 'freeze': "['a']"}
    """
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, prefix=f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str | int | float | None) else str(value)
    return flat


def smooth(values: np.ndarray, *, window: int) -> np.ndarray:
    """Return the mean of each value and up to `window` - 1 values before it; what is not finite is left out.

    Args:
        values: shape (steps,).
        window: at least 1.

    Example:
        >>> smooth(np.array([1.0, 3.0, np.nan, 5.0]), window=2).tolist()
        [1.0, 2.0, 3.0, 5.0]
    """
    known = np.isfinite(values)
    sums = np.cumsum(np.concatenate([[0.0], np.where(known, values, 0.0)]))
    counts = np.cumsum(np.concatenate([[0], known]))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - window, 0)
    number = counts[last] - counts[first]
    return np.where(number > 0, (sums[last] - sums[first]) / np.maximum(number, 1), np.nan)


def draw_losses(metrics: Path, to: Path) -> None:
    """Draw the log of a run: each loss as measured (pale) and smoothed, validation as points, then all else.

    Args:
        metrics: the `metrics.jsonl` of a run.
        to: the png.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    if not lines:
        return
    panels = _panels(sorted({name for line in lines for name in line}))
    figure = Figure(figsize=(11, 2.6 * ((len(panels) + 1) // 2)), layout="constrained")
    FigureCanvasAgg(figure)
    window = max(1, len(lines) // 50)
    for index, (title, names) in enumerate(panels.items()):
        axes = figure.add_subplot((len(panels) + 1) // 2, 2, index + 1)
        axes.set_title(title, fontsize=10, loc="left")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("step", fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for name in names:
            _draw(axes, name, lines, window=window)
        if len(names) > 1:
            axes.legend(fontsize=7, frameon=False)
    with atomic_output(to) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _panels(names: Sequence[str]) -> dict[str, list[str]]:
    """Title -> names of metrics: each loss with its validation, the accuracies, recalls, and the rest."""
    accuracies = [name for name in names if name.endswith("_accuracy")]
    losses = [name.removesuffix("_accuracy") for name in accuracies if not name.startswith("validation_")]
    panels = {loss: [n for n in (loss, f"validation_{loss}") if n in names] for loss in ("loss", *losses)}
    panels["accuracy"] = accuracies
    panels["retrieval of held-out cells and texts"] = [name for name in names if "_recall_at_" in name]
    panels |= {name: [name] for name in _OTHERS}
    return {title: [n for n in wanted if n in names] for title, wanted in panels.items() if set(wanted) & set(names)}


def _draw(axes: Any, name: str, lines: list[dict[str, float]], *, window: int) -> None:
    steps = np.array([line["step"] for line in lines if name in line])
    values = np.array([line[name] for line in lines if name in line], dtype=float)
    label = name.removeprefix("validation_").removesuffix("_accuracy").replace("_", " ")
    if name.startswith("validation_"):
        axes.plot(steps, values, marker="o", markersize=3, linewidth=1.2, label=f"{label} (validation)")
        return
    (line,) = axes.plot(steps, smooth(values, window=1 if name == "lr" else window), linewidth=1.6, label=label)
    if name != "lr":
        axes.plot(steps, values, color=line.get_color(), alpha=0.2, linewidth=0.7, zorder=1)
        shown = values[np.isfinite(values)]
        if name == "grad_norm" and len(shown):
            axes.set_ylim(0, 1.2 * np.quantile(shown, 0.98))  # one outlier would flatten all the rest
