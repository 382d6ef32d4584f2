"""This build against an older one, installed side by side: how many times less time the same work takes.

    python -m venv OLD && OLD/bin/pip install -c constraints.txt CHECKOUT_OF_THE_OLD_COMMIT
    python benchmarks/against_build.py OLD --cells-from pbmc3k.h5ad --json results/against_build.json

Every measurement is a process of its own. Old and new take turns (old, new, old, new, ...), so that other work on the
machine meets both, and the median of the rounds counts. Wall time means something on an idle machine alone; processor
time (all threads and child processes) means something on a busy one, too.

- naming: `langcell annotate`, the bundled model, ten labels, cells drawn from a file, each cell named alone; start
  and end included. The share of cells with the same label stands beside the times.
- start: `langcell annotate` of 700 cells with two labels.
- full-size: the paper's size with random weights, cells of up to 2,048 genes with eight labels, by `full_size_run.py`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np

from langcell.sample_data import BULK_LABELS, sample_cells

SIDES = ("old", "new")
DTYPES = ("float32", "bfloat16")
PARTS = ("naming", "start", "full-size")


@dataclass(frozen=True)
class Build:
    """An installed build.

    Attributes:
        python: its interpreter.
        alone: options of `annotate` that name each cell alone; a build without refinement has none.
        threads: that it may use.
    """

    python: Path
    alone: tuple[str, ...]
    threads: int

    @classmethod
    def installed(cls, python: Path, threads: int) -> "Build":
        """Look at what a build's `annotate` takes."""
        found = cls(python, (), threads)
        help_page = subprocess.run(
            [*found.langcell, "annotate", "--help"], env=found.environment, capture_output=True, text=True, check=True
        ).stdout
        return cls(python, ("--refine", "none") if "--refine" in help_page else (), threads)

    @property
    def langcell(self) -> list[str]:
        """How the command is called."""
        return [str(self.python), "-m", "langcell.cli"]

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a run; what makes this process find its own build is not for the other one."""
        threads = {"OMP_NUM_THREADS": str(self.threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        found = os.environ | threads
        if self.python != Path(sys.executable):
            found.pop("PYTHONPATH", None)
        return found


@dataclass(frozen=True)
class Spent:
    """Seconds of a process: wall time, and processor time of all its threads and children."""

    wall: float
    processor: float


def spend(command: Sequence[str], environment: dict[str, str]) -> Spent:
    """Run a command to its end.

    Raises:
        subprocess.CalledProcessError: it failed; its words are in `output`.
    """
    with tempfile.TemporaryFile("w+") as words:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=words, stderr=words)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            words.seek(0)
            raise subprocess.CalledProcessError(process.returncode, list(command), words.read())
    return Spent(wall, usage.ru_utime + usage.ru_stime)


def take_turns(run: Callable[[str], Spent], rounds: int) -> dict[str, Any]:
    """Return the medians of both sides, and how many times less the new one took.

    Args:
        run: does the work once, by "old" or "new".
        rounds: times that each of them does it.
    """
    spent: dict[str, list[Spent]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            spent[side].append(run(side))
    found: dict[str, Any] = {}
    for kind in ("wall", "processor"):
        seconds = {side: statistics.median(getattr(one, kind) for one in spent[side]) for side in SIDES}
        found |= {f"{kind}_{side}_s": round(seconds[side], 2) for side in SIDES}
        found[f"{kind}_ratio"] = round(seconds["old"] / seconds["new"], 2)
    return found


def measure_naming(builds: dict[str, Build], cells: Path, labels: str, dtype: str, rounds: int) -> dict[str, Any]:
    """Compare times and labels of `langcell annotate` on one file."""
    outputs = {side: cells.with_name(f"{cells.stem}.{dtype}.{side}.h5ad") for side in SIDES}

    def run(side: str) -> Spent:
        build = builds[side]
        options = ["-o", str(outputs[side]), "--labels", labels, "--dtype", dtype, "--device", "cpu", *build.alone]
        return spend([*build.langcell, "annotate", str(cells), *options], build.environment)

    found = take_turns(run, rounds)
    named = [anndata.read_h5ad(path, backed="r").obs["langcell_label"].astype(str) for path in outputs.values()]
    n_cells = len(named[0])
    found |= {f"cells_per_s_{side}": round(n_cells / found[f"wall_{side}_s"]) for side in SIDES}
    return found | {"equal_labels": float(np.mean(named[0].to_numpy() == named[1].to_numpy()))}


def measure_full_size(builds: dict[str, Build], folder: Path, dtype: str, cells: int, rounds: int) -> dict[str, Any]:
    """Compare times of scores by a model of the paper's size; the script times itself, without its preparations."""
    script = Path(__file__).with_name("full_size_run.py")

    def run(side: str) -> Spent:
        build, result = builds[side], folder / f"{side}.json"
        command = [str(build.python), str(script), str(result), "--dtype", dtype, "--cells", str(cells)]
        spend(command, build.environment)
        return Spent(**json.loads(result.read_text()))

    return take_turns(run, rounds)


def draw_cells(path: Path, n_cells: int, folder: Path, *, seed: int = 0) -> Path:
    """Write cells drawn from a file with repetition; each has a name of its own."""
    cells: Any = anndata.read_h5ad(path)
    rows = np.random.default_rng(seed).choice(cells.n_obs, n_cells)
    obs = cells.obs.iloc[rows].set_axis([f"cell{row}" for row in range(n_cells)])
    anndata.AnnData(cells.X[rows], obs=obs, var=cells.var).write_h5ad(folder / f"drawn{n_cells}.h5ad")
    return folder / f"drawn{n_cells}.h5ad"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, metavar="OLD_VENV", help="virtual environment with the older build")
    parser.add_argument("--cells-from", type=Path, help="h5ad file of counts; the 700 cells of scanpy when not given")
    parser.add_argument("--cells", type=int, default=20_000, help="cells drawn from it")
    parser.add_argument("--full-size-cells", type=int, default=16)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


def main() -> None:
    """Print a line for each measurement."""
    options = arguments()
    pythons = {"old": options.old / "bin" / "python", "new": Path(sys.executable)}
    builds = {side: Build.installed(python, options.threads) for side, python in pythons.items()}
    labels = ",".join(f'"{label}"' for label in BULK_LABELS.values())
    figures: dict[str, Any] = {}

    def say(name: str, found: dict[str, Any]) -> None:
        figures[name] = found
        print(name, json.dumps(found), flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sample = folder / "sample.h5ad"
        sample_cells().write_h5ad(sample)
        if "start" in options.parts:
            two = "B cell,natural killer cell"
            say("start", measure_naming(builds, sample, two, "auto", options.rounds))
        for dtype in options.dtypes if "naming" in options.parts else ():
            cells = draw_cells(options.cells_from or sample, options.cells, folder)
            say(f"naming {dtype}", measure_naming(builds, cells, labels, dtype, options.rounds))
        for dtype in options.dtypes if "full-size" in options.parts else ():
            found = measure_full_size(builds, folder, dtype, options.full_size_cells, options.rounds)
            say(f"full-size {dtype}", found)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
