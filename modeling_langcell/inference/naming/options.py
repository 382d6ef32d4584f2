"""Options of naming cells: candidate labels, and how scores become labels; imports no library."""

import logging
import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from langcell.inference.scoring.legal_values import (
    AUTO_UNKNOWN,
    check_alpha,
    check_confidence,
    check_rerank,
    number_of,
)
from langcell.processing.options import option

logger = logging.getLogger("langcell")

Rerank = Literal["exact", "full", "top-k", "none"]
Refine = Literal["auto", "none"]
Hierarchy = Literal["auto", "branch", "list", "none"]
BatchCorrection = Literal["mean", "harmony"]

USUAL_CLUSTERS = "leiden"
"""What scanpy calls its clusters; they are made where a file has no such column."""

LABELS_FILE = (
    "File of labels: one per line, label<TAB>text, or JSON ([names], {label: text, ontology id or null}, or a list of "
    "{name, text, ontology_term_id})."
)


@dataclass(frozen=True)
class LabelOptions:
    """The candidate labels: one of the three, or none for a model that was fine-tuned on label texts."""

    panel: ClassVar[str] = "Candidate labels"

    labels: str | None = option(
        None,
        'Candidate labels with commas between them, "B cell,NK cell,..."; put a name that has commas in quotes. A '
        "model or an adapter that was fine-tuned on label texts needs none.",
    )
    labels_file: Path | None = option(None, LABELS_FILE, show_default=False)
    ontology_root: str | None = option(
        None, "Cell Ontology id or name; the candidates are the model's training types at or below this term."
    )
    tissue: str | None = option(
        None, "Tissue that the cells are from, such as pancreas; it decides what a label with several meanings means."
    )
    accept_suggestions: bool = option(
        False, "Read each label that is no name of a term as the nearest term, where there is one (did you mean)."
    )

    @property
    def given(self) -> list[str]:
        """Names of the options that give candidates, of those that were given."""
        return [name for name in ("labels", "labels_file", "ontology_root") if getattr(self, name) is not None]

    def check(self) -> None:
        """Refuse several sources of candidates.

        Raises:
            ValueError: more than one of the three is given.
        """
        if len(self.given) > 1:
            raise ValueError("Give the candidate labels by exactly one of --labels, --labels-file and --ontology-root.")


@dataclass(frozen=True)
class NamingOptions:
    """How cells get their labels; see `annotate`.

    Raises:
        ValueError: one of them is not legal, or two do not go together.
        OSError: the calibration cannot be read.
    """

    panel: ClassVar[str] = "Naming"

    alpha: float | None = option(
        None,
        "Weight of the similarity in the score, 0 to 1; the rest is the match. The model's own when not given: 1 for "
        "the bundled one. 0.1 is the paper's.",
    )
    rerank: Rerank = option(
        "exact",
        "Which matches are evaluated. exact: as many as the best label of full needs; full: all; top-k: those of the "
        "k most similar labels, an approximation; none: similarity alone.",
    )
    k: int = option(10, "With rerank top-k: number of labels per cell whose match is evaluated.", names=("--k",))
    unknown: float | str | Path | None = option(
        None,
        "Call a cell unknown. auto: if no label fits it (its novelty is above the documented operating point); a "
        "number: if its confidence is below it, 0 to 1; a file: below the threshold of a calibration (JSON, as "
        "langcell calibrate writes it).",
        metavar="auto|NUMBER|FILE",
        cli_type=str,
    )
    smooth: float | None = option(
        None,
        "Strength of the smoothing of scores over neighbouring cells, 0 or more; 1 is moderate. It holds the scores of "
        "all cells in memory.",
        metavar="STRENGTH",
    )
    smooth_over: str | None = option(
        None,
        "Matrix of obsm in which cells are neighbours, such as X_pca; the model's cell embeddings when not given.",
        metavar="OBSM",
    )
    ontology_backoff: float | None = option(
        None,
        "Score difference, 0 to 1, below which the two best labels, if they are siblings in the Cell Ontology, become "
        "their lowest common ancestor.",
        metavar="MARGIN",
    )
    reference: bool = option(
        True,
        "Whether to compare the cells with the model's reference cells, too, where it has some and is not fine-tuned "
        "on labels other than types.",
    )
    refine: Refine = option(
        "auto",
        "Whether the cells of a file name each other. auto: yes where the file has 100 cells or more; none: each cell "
        "is named alone, as with smooth, ontology-backoff or a calibration.",
    )
    hierarchy: Hierarchy = option(
        "auto",
        "How labels of which one is above another are named. branch: from the top down, as labels of a root or a "
        "tissue are; list: together, the answer as deep as the evidence; none: as equals; auto: branch where labels "
        "come from the ontology, list where a list has such labels.",
    )
    refine_over: str | None = option(
        None,
        "Matrix of obsm in which cells of one type lie together, such as an integrated one; components of the counts "
        "when not given.",
        metavar="OBSM",
    )
    batch_column: str | None = option(
        None, "Column of obs with the batch of each cell; batches are moved onto one another before cells are refined."
    )
    batch_correction: BatchCorrection = option(
        "mean",
        "How batches are moved. mean: the mean of each batch to that of all cells; harmony: by Harmony (extra "
        "[harmony]), which was no better on the sets that were measured.",
    )
    known_column: str | None = option(
        None,
        "Column of obs with labels that some cells are known to have, nothing for the rest. Known cells keep their "
        "label, and the others learn from them.",
    )
    known: Any = option(
        None,
        "The same labels as an array or Series: one value for each cell, or a Series with the names of some cells as "
        "index.",
        in_cli=False,
    )
    cluster_column: str | None = option(
        None,
        "Column of obs with clusters, such as leiden; each gets one name, from the probabilities of its cells. leiden "
        "is made where the file has no such column, as --cluster does.",
    )
    cluster: bool = option(
        False,
        "Make clusters of the cells where the file has none (Leiden, extra [cluster]), and name them.",
        names=("--cluster",),
    )

    def __post_init__(self) -> None:
        check_rerank(self.rerank, self.k)
        check_alpha(self.alpha)
        self._check_unknown()
        self._check_refinement()
        self._check_clusters()
        if self.smooth is not None and not 0 <= self.smooth < math.inf:
            raise ValueError(f"smooth is {self.smooth}; give a strength of 0 (no smoothing) or more, such as 1.")
        if self.smooth_over is not None and self.smooth is None:
            raise ValueError(f"smooth_over is {self.smooth_over!r} without smooth; give its strength, such as 1.")
        if self.ontology_backoff is not None and not 0 <= self.ontology_backoff <= 1:
            raise ValueError(f"ontology_backoff is {self.ontology_backoff}; give a margin of scores, 0 to 1.")
        if self.rerank == "top-k" and (needs := self._need_all_scores()):
            raise ValueError(f"rerank 'top-k' leaves most scores out, and {needs[0]} needs them; use 'full' or 'none'.")

    def checked(self) -> "NamingOptions":
        """Return the options with all labels scored where something needs all scores.

        Raises:
            ValueError: what makes clusters is not installed.
        """
        if self.cluster:
            from langcell.inference.naming.leiden_clusters import check_leiden

            check_leiden()
        if self.refines and (others := self._other_ways()):
            logger.info("With %s each cell is named alone: refine is 'none'.", " and ".join(others))
            return replace(self, refine="none").checked()
        needs = self._need_all_scores()
        if not needs or self.rerank in ("full", "none"):
            return self
        logger.info("%s needs the scores of all labels: rerank is 'full' instead of 'exact'.", " and ".join(needs))
        return replace(self, rerank="full")

    @property
    def has_known(self) -> bool:
        """Whether the labels of some cells are known."""
        return self.known is not None or self.known_column is not None

    @property
    def refines(self) -> bool:
        """Whether the cells of the file name each other."""
        return self.refine != "none"

    @property
    def uses_hierarchy(self) -> bool:
        """Whether labels of which one is above another do not compete as equals."""
        return self.hierarchy != "none" and not self._other_ways()

    @property
    def needs_similarity(self) -> bool:
        """Whether labels or confidence come from similarities, for which scores may be missing."""
        return self.refines or self._is_calibrated

    @property
    def _is_calibrated(self) -> bool:
        """Whether `unknown` is the file of a calibration."""
        return self.unknown not in (None, AUTO_UNKNOWN) and number_of(self.unknown) is None

    def _other_ways(self) -> list[str]:
        """Options that turn scores into labels in another way than the refinement."""
        ways = [name for name in ("smooth", "ontology_backoff") if getattr(self, name) is not None]
        return [*ways, *(["a calibration"] if self._is_calibrated else [])]

    def _need_all_scores(self) -> list[str]:
        """Options that read the score of every label, as the cells will be named."""
        needs = [name for name in ("unknown", "smooth", "ontology_backoff") if getattr(self, name) is not None]
        by_similarity = self._is_calibrated or (self.refines and not self._other_ways())
        if "unknown" in needs and (by_similarity or self.unknown == AUTO_UNKNOWN):
            needs.remove("unknown")
        return needs

    def _check_unknown(self) -> None:
        if self.unknown is None or self.unknown == AUTO_UNKNOWN:
            return
        if (threshold := number_of(self.unknown)) is not None:
            check_confidence(threshold)
            return
        from langcell.inference.naming.calibration import confidence_of

        confidence_of(self.unknown)

    def _check_refinement(self) -> None:
        if self.refine not in get_args(Refine):
            raise ValueError(
                f"refine is {self.refine!r}; legal are 'auto' (by the other cells of the file) and 'none' (each alone)."
            )
        if self.hierarchy not in get_args(Hierarchy):
            raise ValueError(f"hierarchy is {self.hierarchy!r}; legal are {', '.join(get_args(Hierarchy))}.")
        if self.known is not None and self.known_column is not None:
            raise ValueError(f"known and known_column {self.known_column!r} are both given; leave one out.")
        if self.batch_correction not in get_args(BatchCorrection):
            legal = ", ".join(get_args(BatchCorrection))
            raise ValueError(f"batch_correction is {self.batch_correction!r}; legal are {legal}.")
        if self.batch_correction != "mean" and self.batch_column is None:
            raise ValueError(f"batch_correction is {self.batch_correction!r} without batch_column; name the column.")
        for name in ("refine_over", "batch_column", "known_column", "known"):
            value = getattr(self, name)
            if value is not None and (not self.refines or self._other_ways()):
                reason = " and ".join(self._other_ways()) if self.refines else "refine 'none'"
                is_given = f"is {value!r}" if isinstance(value, str) else "is given"
                raise ValueError(f"{name} {is_given}, but {reason} refines no cell; leave one out.")

    def _check_clusters(self) -> None:
        if not self.cluster:
            return
        if self.cluster_column is not None:
            raise ValueError(f"cluster and cluster_column {self.cluster_column!r} are both given; leave one out.")
        if not self.refines or self._other_ways():
            raise ValueError("cluster reads where the refinement places cells, and nothing is refined; leave one out.")

    def with_clusters_in(self, obs_columns: Collection[str]) -> "NamingOptions":
        """Return the options with clusters made, where a file has none and those of the usual name are asked for.

        A column of a like name would be meant instead, such as "leiden_r1"; then nothing is made.

        Args:
            obs_columns: columns that the file has.
        """
        asks = self.cluster_column == USUAL_CLUSTERS and self.refines and not self._other_ways()
        if not asks or any(USUAL_CLUSTERS in str(column).lower() for column in obs_columns):
            return self
        return replace(self, cluster=True, cluster_column=None)

    @property
    def columns(self) -> tuple[str, ...]:
        """What naming reads of every cell; the similarities say what the cells of a file have in common."""
        return ("scores", "embeddings", "n_matches", "similarity")

    def check_calibration(self, **used: Any) -> None:
        """Refuse a calibration that was fitted with another model, alpha or list of labels.

        Raises:
            ValueError: one of what `used` names differs.
        """
        from langcell.inference.naming.calibration import confidence_of

        calibration, _ = confidence_of(self.unknown)
        if calibration is not None:
            calibration.check_used_with(**used)

    def settings(self) -> dict[str, Any]:
        """Return what uns["langcell"] says of the options; what was not used is not there."""
        from langcell.inference.naming.calibration import confidence_of
        from langcell.inference.refinement.novelty import UNKNOWN_ABOVE

        found: dict[str, Any] = {"rerank": self.rerank}
        if self.rerank == "top-k":
            found["k"] = self.k
        if self.unknown == AUTO_UNKNOWN:
            found["unknown_above_novelty"] = UNKNOWN_ABOVE
        elif self.unknown is not None:
            found["unknown_below"] = confidence_of(self.unknown)[1]
        if self.smooth is not None:
            found["smooth"] = float(self.smooth)
        if self.smooth_over is not None:
            found["smooth_over"] = self.smooth_over
        if self.ontology_backoff is not None:
            found["ontology_backoff"] = float(self.ontology_backoff)
        for name in ("refine_over", "batch_column", "known_column", "cluster_column"):
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)
        return found
