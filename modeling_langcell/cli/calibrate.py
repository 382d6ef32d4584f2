"""`langcell calibrate`: from cells with known types to the file that `langcell annotate --unknown` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from langcell.cli.options import LabelledCells
from langcell.inference.scoring.legal_values import check_alpha, check_between
from langcell.loading.options import ModelOptions
from langcell.processing.options import ReadOptions, option
from langcell.training.labelled.options import LabelColumnOptions

if TYPE_CHECKING:
    import numpy as np

    from langcell.inference.annotation import ScoredCells

_LOW_COVERAGE = 0.5


@dataclass(frozen=True)
class CalibratedModelOptions(ModelOptions):
    """A model whose scores are calibrated: in float32, so that a calibration holds for every device."""

    dtype: str = option("float32", "Number format: float32, bfloat16 or float16.")


@dataclass(frozen=True)
class CalibrationOptions:
    """What is fitted, and on which cells."""

    panel: ClassVar[str] = "Calibration"

    target_risk: float | None = option(
        None, "Largest share of wrong labels among the named cells, 0 to 1; 0.1 when not given."
    )
    target_accuracy: float | None = option(None, "Smallest share of right labels; in place of --target-risk.")
    absent_types: str | None = option(
        None,
        "Types in the column that are not candidates, with commas between them; the cells of these types should "
        "become unknown.",
    )
    alpha: float | None = option(None, "Weight of the similarity in the score, 0 to 1; the model's own when not given.")
    fit_share: float = option(0.5, "Share of the cells to fit on; the other cells measure the fit.")
    seed: int = option(0, "Random seed of the split of the cells.")

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_between("target_risk", self.target_risk, ends=(0,))
        check_between("target_accuracy", self.target_accuracy, ends=(1,))
        check_between("fit_share", self.fit_share, ends=())


def calibrate(
    data: LabelledCells,
    types: LabelColumnOptions,
    options: CalibrationOptions,
    model: CalibratedModelOptions,
    reading: ReadOptions,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="JSON file to write; a picture is written beside it.")
    ] = Path("calibration.json"),
) -> None:
    """Fit temperature and threshold on half of the cells, and show risk and coverage on the other half."""
    if output.suffix != ".json" or not output.parent.is_dir():
        raise ValueError(f"Cannot write {output}; name a .json file in a folder that exists.")

    import numpy as np
    from rich.console import Console

    from langcell.inference.annotation import score_data
    from langcell.inference.naming.calibrate import calibrate as fit
    from langcell.inference.naming.calibrate import fitting_facts
    from langcell.loading.load import load
    from langcell.training.labelled.label_columns import check_label_column
    from langcell.training.labelled.labelled_cells import read_labelled_cells

    values = vars(reading)
    check_label_column(data, types.label_column, **values)
    labelled = read_labelled_cells(data, **vars(types), **values)
    kept = _candidates(labelled.names, options.absent_types)
    loaded = load(**vars(model))
    alpha = loaded.config.alpha if options.alpha is None else options.alpha
    labels = [labelled.labels[i] for i in kept]
    scored = score_data(data, labels, loaded=loaded, refine=False, **values)
    run = fit(
        _scores(scored, alpha)[labelled.has_label],
        np.where(scored.known[:, None], scored.similarity, np.nan)[labelled.has_label],
        _codes_among(kept, labelled.truth[labelled.has_label]),
        target_risk=options.target_risk,
        target_accuracy=options.target_accuracy,
        fit_share=options.fit_share,
        seed=options.seed,
        fitted_with=fitting_facts(
            loaded,
            labels,
            alpha=alpha,
            reference_cells=scored.reference_cells,
            data=data.name,
            label_column=types.label_column,
            absent_types=[name for i, name in enumerate(labelled.names) if i not in kept],
        ),
    )
    picture = run.save(output)
    console, report = Console(), run.report()
    console.print(run.table())
    before, after = report["expected_calibration_error_before"], report["expected_calibration_error"]
    console.print(
        f"temperature {run.calibration.temperature:.4g}; expected calibration error {before:.3f} -> {after:.3f}"
    )
    coverage, risk = report["coverage_at_threshold"], report["risk_at_threshold"]
    if coverage < _LOW_COVERAGE:
        console.print(
            f"Note: the threshold names {coverage:.0%} of the held-out cells ({risk:.0%} of them wrongly), the others "
            "become unknown. A greater --target-risk names more, and labels with definitions are named better "
            "(--label-ids-column, --labels-file)."
        )
    print(f"Wrote {output} and {picture.name}; use it with langcell annotate --unknown {output}")


def _candidates(names: list[str], absent_types: str | None) -> list[int]:
    """Places of the types that are candidates: all but the absent ones."""
    from langcell.processing.labels.splitting import split_labels

    absent = [] if absent_types is None else split_labels(absent_types)
    if strange := sorted(set(absent) - set(names)):
        raise ValueError(f"--absent-types names {strange}, which the data lacks; it has {names}.")
    kept = [i for i, name in enumerate(names) if name not in absent]
    if len(kept) < 2:
        raise ValueError(f"--absent-types leaves {len(kept)} candidates of {len(names)}; leave at least two.")
    return kept


def _codes_among(kept: list[int], truth: "np.ndarray") -> "np.ndarray":
    """Return the truth in places among the kept labels, -1 for the others."""
    import numpy as np

    place = np.full(max(int(truth.max()), *kept) + 1, -1)
    place[kept] = np.arange(len(kept))
    return place[truth]


def _scores(scored: "ScoredCells", alpha: float) -> "np.ndarray":
    """(cells, labels); NaN for a cell without any known gene."""
    import numpy as np
    import torch

    from langcell.scoring_langcell import combine_scores

    score = combine_scores(torch.from_numpy(scored.similarity), torch.from_numpy(scored.match), alpha=alpha).numpy()
    return np.where(scored.known[:, None], score, np.nan)
