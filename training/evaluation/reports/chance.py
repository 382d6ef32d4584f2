"""Is the model better than chance? Every report says so in plain words where it is not.

Chance is what needs no look at the cell: to name every cell as the most frequent type, or to guess. A measure that is
not above it by more than its standard deviation is no better than chance.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from langcell.training.evaluation.reports.pages import Section
from langcell.training.evaluation.reports.report import DIRECTIONS, HEADLINES, plus_minus

NAMING = ("zero-shot", "few-shot", "classification", "disease", "calibration")
HEADING = "Not better than chance"


@dataclass(frozen=True)
class ChanceComparison:
    """A measure of the model itself beside what chance would give.

    Attributes:
        method: name of the row in the report's methods.
        measure: its key there.
        value: what was measured.
        sd: its standard deviation, where there is one.
        chance: what chance gives.
        by: how chance would do it.
    """

    method: str
    measure: str
    value: float
    sd: float | None
    chance: float
    by: str

    @property
    def is_better(self) -> bool:
        """Above chance by more than its standard deviation.

        >>> [ChanceComparison("m", "accuracy", value, 0.01, 0.5, "").is_better for value in (0.4, 0.505, 0.52)]
        [False, False, True]
        """
        return self.value - self.chance > (self.sd or 0.0)

    def text(self, written: str) -> str:
        """Return the sentence on it; `written` is how people write the measure."""
        how = "worse than" if self.value < self.chance else "no better than"
        found = f"{self.method}: {written} {plus_minus(self.value, self.sd)} is {how} {self.chance:.4f}"
        return f"{found}, which is what comes of {self.by}."


def comparisons(report: Mapping[str, Any]) -> list[ChanceComparison]:
    """Return the model's own measures that chance could reach; none for a task without such a measure (integration)."""
    return [
        ChanceComparison(method, measure, scores[measure], scores.get(f"{measure}_sd"), level, by)
        for method, measure, level, by in _levels(report)
        if (scores := report["methods"].get(method, {})).get(measure) is not None
    ]


def facts(found: Sequence[ChanceComparison]) -> list[dict[str, Any]]:
    """Return the comparisons as JSON has them."""
    return [asdict(one) | {"better_than_chance": one.is_better} for one in found]


def chance_section(task: str, found: Sequence[ChanceComparison]) -> Section | None:
    """Return what is not better than chance; None where all is."""
    sentences = [one.text(HEADLINES[task][one.measure][1]) for one in found if not one.is_better]
    return Section(HEADING, " ".join(sentences)) if sentences else None


def _levels(report: Mapping[str, Any]) -> Iterator[tuple[str, str, float, str]]:
    """(method, measure, what chance gives, how) of the model's own rows."""
    task, own = report["task"], next(iter(report["methods"]))
    if task in NAMING:
        yield own, "accuracy", *_best_constant(report["labels"])
    elif task == "novel-types":
        guess = 1 / len(report["labels"]), f"a guess among the {len(report['labels'])} types"
        yield own, "seen", *guess
        yield own, "unseen", *guess
        yield own, "unknown_auroc", 0.5, "a random order of the cells"
    elif task == "retrieval":
        # A cell drawn at random is right for a text as often as its type has cells: on average over types, 1 / types.
        guesses = (report["n_candidates"], "a guess among all texts"), (report["queries"]["texts"], "drawing any cell")
        for method in report["methods"]:
            n, by = guesses[DIRECTIONS.index(next(filter(method.startswith, DIRECTIONS)))]
            yield method, "recall_at_1", 1 / n, by
    elif task == "pathways":
        yield own, "auroc", 0.5, "a random order of the cells"


def _best_constant(labels: Sequence[Mapping[str, Any]]) -> tuple[float, str]:
    """Return the accuracy of naming all cells alike, or of a guess among the labels where that is higher."""
    support = [label["support"] for label in labels]
    shares = [cells / max(sum(support), 1) for cells in support]
    commonest = max(range(len(labels)), key=shares.__getitem__)
    if shares[commonest] > 1 / len(labels):
        return shares[commonest], f"naming every cell {labels[commonest]['name']!r}, the most frequent"
    return 1 / len(labels), f"a guess among the {len(labels)} labels"
