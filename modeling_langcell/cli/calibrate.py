"""`langcell calibrate`: from cells with known types to the file that `langcell annotate --unknown` takes."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langcell.cli.annotate import LabelsFile

if TYPE_CHECKING:
    import numpy as np

    from langcell.inference.annotation import ScoredCells

Command = Callable[..., None]
_LOW_COVERAGE = 0.5


def register(app: typer.Typer, one_line_errors: Callable[[Command], Command]) -> None:
    """Add `calibrate` to `app`; `one_line_errors` turns what a user can mend into one line and exit code 2."""
    app.command()(one_line_errors(calibrate))


def calibrate(
    data: Annotated[Path, typer.Argument(metavar="DATA.h5ad", help="Cells with known types.", show_default=False)],
    label_column: Annotated[str, typer.Option(help="Column of obs with the types.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="JSON to write; a picture comes beside it.")] = Path(
        "calibration.json"
    ),
    target_risk: Annotated[float | None, typer.Option(help="Share of wrong labels that is fine; 0.1.")] = None,
    target_accuracy: Annotated[float | None, typer.Option(help="The same as 1 - target risk.")] = None,
    absent_types: Annotated[
        str | None, typer.Option(help="Types in the column that are no candidates: their cells should be unknown.")
    ] = None,
    label_ids_column: Annotated[
        str | None, typer.Option(help="Column of obs with each type's ontology id, which gives its text.")
    ] = None,
    labels_file: LabelsFile = None,
    model: Annotated[
        str, typer.Option("--model", help="Folder, Hub id, or langcell-mini (bundled).")
    ] = "langcell-mini",
    alpha: Annotated[float | None, typer.Option(help="Weight of the similarity, 0 to 1; the model's own.")] = None,
    fit_share: Annotated[float, typer.Option(help="Share of the cells to fit on; the others measure it.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps, ...; the best one here when not given.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    x_is: Annotated[str, typer.Option("--x-is", metavar="[counts|linear|log1p]", help="What X holds.")] = "counts",
    gene_column: Annotated[str | None, typer.Option(help="Column of var with Ensembl ids or symbols.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer with the values; found when not given.")] = None,
) -> None:
    """Fit temperature and threshold on half of the cells, and show risk and coverage on the other half."""
    import numpy as np
    from rich.console import Console

    from langcell.inference.annotation import score_data
    from langcell.inference.naming.calibrate import calibrate as fit
    from langcell.inference.naming.calibrate import fitting_facts
    from langcell.inference.scoring.zero_shot import check_alpha
    from langcell.loading.load import load
    from langcell.training.labelled.label_columns import check_label_column
    from langcell.training.labelled.labelled_cells import read_labelled_cells

    if output.suffix != ".json" or not output.parent.is_dir():
        raise ValueError(f"Cannot write {output}; name a .json file in a folder that exists.")
    reading: dict[str, Any] = {"x_is": x_is, "gene_column": gene_column, "layer": layer}
    check_label_column(data, label_column, **reading)
    columns = {"label_column": label_column, "label_ids_column": label_ids_column, "labels_file": labels_file}
    labelled = read_labelled_cells(data, **columns, **reading)
    kept = _candidates(labelled.names, absent_types)
    loaded = load(model, device=device, dtype=dtype)
    alpha = check_alpha(loaded.config.alpha if alpha is None else alpha)
    labels = [labelled.labels[i] for i in kept]
    scored = score_data(data, labels, loaded=loaded, **reading)
    run = fit(
        _scores(scored, alpha)[labelled.has_label],
        np.where(scored.known[:, None], scored.similarity, np.nan)[labelled.has_label],
        _codes_among(kept, labelled.truth[labelled.has_label]),
        target_risk=target_risk,
        target_accuracy=target_accuracy,
        fit_share=fit_share,
        seed=seed,
        fitted_with=fitting_facts(
            loaded,
            labels,
            alpha=alpha,
            reference_cells=scored.reference_cells,
            data=data.name,
            label_column=label_column,
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
            f"Mind: the threshold names {coverage:.0%} of the held-out cells ({risk:.0%} of them wrongly), the others "
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
    """The truth in places among the kept labels, -1 for the others."""
    import numpy as np

    place = np.full(max(int(truth.max()), *kept) + 1, -1)
    place[kept] = np.arange(len(kept))
    return place[truth]


def _scores(scored: "ScoredCells", alpha: float) -> "np.ndarray":
    """(cells, labels); NaN for a cell without any known gene."""
    import numpy as np
    import torch

    from langcell.inference.scoring.zero_shot import combine_scores

    score = combine_scores(torch.from_numpy(scored.similarity), torch.from_numpy(scored.match), alpha=alpha).numpy()
    return np.where(scored.known[:, None], score, np.nan)
