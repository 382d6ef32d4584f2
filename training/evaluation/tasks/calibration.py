"""`langcell evaluate calibration`: what the confidence of a label is worth, before and after a temperature.

Each repeat halves the cells: temperature and threshold are fitted on one half (as `langcell calibrate` does) and
measured on the other. The report can be given to `langcell annotate --unknown` as it is: it carries the calibration of
the first split.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from langcell.inference.naming.calibrate import CalibrationRun, calibrate, fitting_facts
from langcell.inference.naming.calibration import DEFAULT_TARGET_RISK
from langcell.inference.naming.reliability_plot import draw_reliability
from langcell.scoring_langcell import check_alpha, combine_scores
from langcell.training.evaluation.inputs.context import MODEL_METHOD, EvaluationContext
from langcell.training.evaluation.metrics.confidence_metrics import AreaUnderRiskCoverage, ExpectedCalibrationError
from langcell.training.evaluation.metrics.metrics import computed
from langcell.training.evaluation.metrics.uncertainty import mean_and_sd, uncertainty_text
from langcell.training.evaluation.options import check_repeats
from langcell.training.evaluation.reports.pages import Section, Table
from langcell.training.evaluation.reports.report import TaskResult, summary_table, with_sd

TASK = "calibration"
_CALIBRATED = f"{MODEL_METHOD}, calibrated"
_RAW = f"{MODEL_METHOD}, greatest score"


def run(
    context: EvaluationContext,
    *,
    alpha: float | None = None,
    target_risk: float = DEFAULT_TARGET_RISK,
    repeats: int = 5,
) -> TaskResult:
    """Fit a temperature and a threshold for "unknown" on half of the cells, measure them on the other half.

    Args:
        context: data and model; needs a label column.
        alpha: weight of the similarity; the model's own when None.
        target_risk: share of wrong labels among the named cells that the threshold is to keep to.
        repeats: splits behind each mean and standard deviation.

    Raises:
        ValueError: unusable data, labels, model or options, or a risk that no threshold reaches.
    """
    check_repeats(repeats)
    if alpha is not None:
        check_alpha(alpha)
    labelled = context.labelled
    alpha = float(context.loaded.config.alpha if alpha is None else alpha)
    scored = context.scored(labelled.labels)
    score = combine_scores(torch.from_numpy(scored.similarity), torch.from_numpy(scored.match), alpha=alpha).numpy()
    known = scored.known[:, None]
    score, similarity = (np.where(known, part, np.nan)[labelled.has_label] for part in (score, scored.similarity))
    truth = labelled.truth[labelled.has_label]
    seeds = range(context.seed, context.seed + repeats)
    facts = fitting_facts(
        context.loaded,
        labelled.labels,
        alpha=alpha,
        reference_cells=scored.reference_cells,
        data=context.data.name,
        label_column=str(context.label_column),
    )
    fits = [
        calibrate(score, similarity, truth, target_risk=target_risk, seed=seed, fitted_with=facts) for seed in seeds
    ]
    report = context.describe(TASK, scored.settings, labelled)
    report |= {
        "alpha": alpha,
        "target_risk": target_risk,
        "repeats": repeats,
        "fits": mean_and_sd([_fitted(fit) for fit in fits]),
        "methods": {
            _CALIBRATED: mean_and_sd([_measure(fit.confidence, fit.correct) for fit in fits]),
            _RAW: mean_and_sd([_measure(fit.raw_confidence, fit.correct) for fit in fits]),
        },
        "risk_coverage": _mean_curve(fits),
        # `Calibration.load` reads these.
        **fits[0].calibration.to_dict(),
    }
    title = f"{report['model']['id']} on {report['data']['file']}, held-out halves"
    runs = {
        name: [(getattr(fit, kind), fit.correct) for fit in fits]
        for name, kind in ((_CALIBRATED, "confidence"), (_RAW, "raw_confidence"))
    }
    figure = draw_reliability(runs, threshold=report["threshold"], title=title)
    return TaskResult(report, _sections(report), {"reliability": figure})


def _mean_curve(fits: Sequence[CalibrationRun]) -> list[dict[str, Any]]:
    """Threshold and risk at each coverage of `TABLE_COVERAGES`, over the splits."""
    curves = [fit.report()["risk_coverage"] for fit in fits]
    return [mean_and_sd(points) for points in zip(*curves, strict=True)]


def _measure(confidence: np.ndarray, correct: np.ndarray) -> dict[str, float]:
    columns: dict[str, Any] = {"predictions": confidence, "references": correct.astype(int)}
    return {
        **computed(ExpectedCalibrationError(), **columns),
        **computed(AreaUnderRiskCoverage(), **columns),
        "accuracy": float(correct.mean()),
    }


def _fitted(fit: CalibrationRun) -> dict[str, float]:
    coverage, risk = fit.curve.at_threshold(fit.calibration.threshold)
    return {
        "temperature": fit.calibration.temperature,
        "threshold": fit.calibration.threshold,
        "coverage": coverage,
        "risk": risk,
    }


def _sections(report: dict[str, Any]) -> list[Section]:
    data, fits = report["data"], report["fits"]
    text = (
        f"{data['labelled_cells']:,} cells of {len(report['labels'])} types, alpha {report['alpha']:g}; fitted on one "
        f"half, measured on the other. ECE: mean difference of confidence and accuracy over 15 bins. "
        f"{uncertainty_text(report['repeats'], 'splits of the cells', report['seed'])}"
    )
    threshold = (
        f"To keep at most {report['target_risk']:.0%} wrong labels, cells below the threshold are unknown. "
        f"`langcell annotate --unknown {TASK}.json` uses the temperature {report['temperature']:.4g} and the threshold "
        f"{report['threshold']:.4f} of the first split."
    )
    if (risk := fits["risk"]) > report["target_risk"]:
        threshold += (
            f" **On cells that it was not fitted on, {risk:.1%} of the named ones are wrong, more than asked**: give a "
            "smaller target risk, or calibrate on more cells."
        )
    rows = [(name, with_sd(fits, name)) for name in ("temperature", "threshold", "coverage", "risk")]
    curve = [
        (f"{point['coverage']:.1%}", *(with_sd(point, name, digits=3) for name in ("threshold", "risk")))
        for point in report["risk_coverage"]
    ]
    return [
        Section(f"{TASK}: {report['model']['id']} on {data['file']}", text, summary_table(TASK, report["methods"])),
        Section("Threshold for --unknown", threshold, Table(("on the held-out half", "mean"), rows)),
        Section("Risk and coverage, over all splits", table=Table(("coverage", "threshold", "risk"), curve)),
    ]
