"""Measure the bundled weights on both blood sets and write what was found into their card, in one command.

    python training/measure_card.py --pbmc3k pbmc3k.h5ad --profiles cell_profiles.h5ad

Zero-shot (alone and refined), calibration, retrieval and few-shot are measured as `langcell evaluate` does. Results are
kept by content in the folder of --results, so a run that was stopped goes on where it was.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langcell.hub_cards.cards.renewed_results import renew_results
from langcell.loading.load import bundled_model_folder, weights_digest
from langcell.sample_data import sample_cells
from langcell.training.evaluation.card_results import read_measurement
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.runner import run_task
from langcell.training.package_model import BENCHMARK

# Tasks on PBMC 3k after zero-shot on both sets, in the order of the card.
TASKS = ("calibration", "few-shot", "retrieval")
_OPTIONS = {"few-shot": {"shots": (5,), "repeats": 5}}


@dataclass(frozen=True)
class BloodSets:
    """What is measured on.

    Attributes:
        pbmc3k: h5ad file of PBMC 3k with obs cell_type and cl_id.
        results: folder for the results; the 700 cells of scanpy are written there, too.
        profiles: h5ad file of mean expression profiles, for the rivals; None without them.
    """

    pbmc3k: Path
    results: Path
    profiles: Path | None = None


def measure(model: Path, sets: BloodSets, *, tasks: Sequence[str] = TASKS, **options: Any) -> Iterator[Path]:
    """Measure a model, and yield the reports as they are finished.

    Args:
        model: folder of the model.
        sets: data.
        tasks: what is measured on PBMC 3k after zero-shot.
        options: further options of `EvaluationContext`, such as max_cells.

    Raises:
        FileNotFoundError: there is no PBMC 3k.
    """
    if not sets.pbmc3k.is_file():
        raise FileNotFoundError(f"{sets.pbmc3k} does not exist; give the h5ad file of PBMC 3k.")
    sets.results.mkdir(parents=True, exist_ok=True)
    pbmc700 = sets.results / "pbmc700.h5ad"
    if not pbmc700.exists():
        sample_cells().write_h5ad(pbmc700)
    columns = {"label_column": "cell_type", "label_ids_column": "cl_id"}
    first = EvaluationContext(sets.pbmc3k, model=model, **columns, **options)
    second = EvaluationContext(pbmc700, model=model, label_column="cell_type", **options)
    for context in (first, second):
        yield _report(context, "zero-shot", sets.results, profiles=sets.profiles)
    for task in tasks:
        yield _report(first, task, sets.results, **_OPTIONS.get(task, {}))


def _report(context: EvaluationContext, task: str, results: Path, **options: Any) -> Path:
    folder = results / context.data.stem
    run_task(task, context, folder, **options)
    return folder / f"{task}.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=bundled_model_folder(), help="folder whose card is renewed")
    parser.add_argument("--pbmc3k", type=Path, required=True)
    parser.add_argument("--profiles", type=Path)
    parser.add_argument("--results", type=Path, default=Path("results/card"))
    options = parser.parse_args(arguments)
    sets, measured = BloodSets(options.pbmc3k, options.results, options.profiles), []
    try:
        for path in measure(options.model, sets):
            print(f"Measured {path}", flush=True)
            measured.append(read_measurement(path, weights=weights_digest(options.model)))
        renew_results(options.model, measured, benchmark=BENCHMARK)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Wrote the results into the card of {options.model}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
