"""`langcell.audit`: labels that are there already, looked at again by words, text, reference cells and genes."""

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from langcell.inference.auditing.findings import GroupVerdict, Status, judge
from langcell.inference.auditing.options import AuditOptions
from langcell.inference.auditing.votes import GroupVotes, VotingGroups, gather_votes
from langcell.inference.auditing.words import ReadLabel, WordFinding, read_words
from langcell.inference.evidence.file_evidence import FileEvidence, profiles_in
from langcell.inference.evidence.groups import CellGroups
from langcell.inference.evidence.label_evidence import STRONG_CONFLICT, LabelEvidence
from langcell.inference.running.job import InferenceJob
from langcell.inference.running.options import ReadingOptions
from langcell.loading.options import AdaptedModelOptions
from langcell.processing.cells.anndata_io import CellSource, open_cells
from langcell.processing.labels.lookup import Label, look_up
from langcell.processing.labels.splitting import split_labels
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.terms import Ontology, normalize_name
from langcell.processing.options import from_keywords, takes

ID_COLUMNS = ("cell_type_ontology_term_id", "cl_id")
# Smaller pieces of a cluster say too little.
_LEAST_CELLS = 10
_MORE_CANDIDATES = 4


@dataclass(frozen=True)
class AuditedGroup:
    """What the audit says of the cells of one label.

    Attributes:
        label: as the file has it.
        ontology_term_id: what it is read as, "" where it is no term.
        cells: their number.
        status: "wrong", "mixed", "unsure" or "fine"; see `findings`.
        verdict: what text, reference cells and both call the cells; None for a label that names no type.
        words: what there is to say of the label's words.
        evidence: genes for and against the label.
        evidence_called: genes for what the cells are called, where that is another type.
        clusters: clusters of these cells that are called another type: cluster, cells, called, share.
    """

    label: str
    ontology_term_id: str
    cells: int
    status: Status
    verdict: GroupVerdict | None
    words: tuple[WordFinding, ...]
    evidence: LabelEvidence
    evidence_called: LabelEvidence | None = None
    clusters: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_wrong(self) -> bool:
        """Whether something has to be corrected: cells, or words."""
        return self.status in ("wrong", "mixed") or any(word.is_wrong for word in self.words)

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        called = None if self.evidence_called is None else self.evidence_called.record()
        verdict = None if self.verdict is None else asdict(self.verdict)
        words = [{**asdict(word), "is_wrong": word.is_wrong} for word in self.words]
        facts = {name: getattr(self, name) for name in ("label", "ontology_term_id", "cells", "status", "is_wrong")}
        evidence = {"evidence": self.evidence.record(), "evidence_called": called}
        return {**facts, "verdict": verdict, "words": words, **evidence, "clusters": [dict(c) for c in self.clusters]}


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        label_column: column that was looked at.
        groups: one for each label, those with the gravest findings first.
        candidates: what groups could be called.
        facts: on model and data, as uns["langcell"] would have them.
    """

    label_column: str
    groups: tuple[AuditedGroup, ...]
    candidates: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_wrong(self) -> int:
        """Number of labels with something to correct."""
        return sum(group.is_wrong for group in self.groups)

    def frame(self) -> pd.DataFrame:
        """Return one row per label."""
        return pd.DataFrame([_row(group) for group in self.groups])

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {
            "label_column": self.label_column,
            "wrong": self.n_wrong,
            "strong_conflict": STRONG_CONFLICT,
            "candidates": list(self.candidates),
            "groups": [group.record() for group in self.groups],
            "facts": dict(self.facts),
        }


@takes(AuditOptions, AdaptedModelOptions, ReadingOptions)
def audit(adata: Any, **options: Any) -> Audit:
    """Look at labels that a file has: their words, what text and reference cells call the cells, and genes.

    The file is not changed. `langcell.write_audit` writes what is found as CSV, JSON and HTML.

    Args:
        adata: an AnnData, or the path of a container of cells, with raw counts and a column of labels.
        {options}

    Returns:
        An `Audit` with one `AuditedGroup` per label, `frame()` and `record()`.

    Raises:
        ValueError: no such column, no label, or unusable cells or model.
        TypeError: an option that does not exist.
    """
    groups = (AuditOptions, AdaptedModelOptions, ReadingOptions)
    asked, model, reading = from_keywords(options, *groups, function="audit")
    job = InferenceJob.of(adata, None, model, reading)
    job.check_model()
    with open_cells(adata, **reading.source) as source:
        return _run(job, source, asked)


def _run(job: InferenceJob, source: CellSource, asked: AuditOptions) -> Audit:
    ontology = Ontology.cellxgene()
    groups = CellGroups.read(source, asked.label_column, what="label column")
    clusters = None
    if asked.cluster_column is not None:
        clusters = CellGroups.read(source, asked.cluster_column, what="cluster column")
    read = read_words(groups.names, _ids(source, groups, asked.id_column), ontology=ontology)
    loaded, dtype = job.load()
    profiles = profiles_in(source, loaded)
    labels = _candidates(read, asked.candidates, ontology)
    if len(labels) < 2 and profiles is not None and labels[0].ontology_term_id:
        near = profiles.nearest(labels[0].ontology_term_id)[:_MORE_CANDIDATES]
        labels += [look_up(LabelEntry(term_id), ontology) for term_id in near]
    if len(labels) < 2:
        raise ValueError(f"obs[{asked.label_column!r}] has one label; name others that cells may be (--candidates).")
    terms = {one.name: one.label.ontology_term_id or "" for one in read}
    terms |= {label.name: label.ontology_term_id or "" for label in labels if label.name not in terms}
    file = FileEvidence(source, loaded, groups, terms, top=asked.top, rows=job.options.rows_per_chunk)
    groupings = [VotingGroups(groups.codes, len(groups.names))]
    if clusters is not None:
        groupings.append(_pieces(groups, clusters))
    with tempfile.TemporaryDirectory(prefix="langcell-audit-") as folder:
        parts = Path(folder) / "audit.h5ad"
        votes = gather_votes(job, source, loaded, dtype, labels, groupings, file.types, parts=parts)
    found = [_audited(place, one, votes, labels, file, clusters, ontology) for place, one in enumerate(read)]
    gravest = {"wrong": 0, "mixed": 1, "unsure": 2, "fine": 3}
    found.sort(key=lambda group: (not group.is_wrong, gravest[group.status], -group.cells, group.label))
    return Audit(asked.label_column, tuple(found), tuple(label.name for label in labels), _plain(votes[0].facts))


def _audited(
    place: int,
    one: ReadLabel,
    votes: Sequence[GroupVotes],
    labels: Sequence[Label],
    file: FileEvidence,
    clusters: CellGroups | None,
    ontology: Ontology,
) -> AuditedGroup:
    names_type = not any(word.kind == "no type" for word in one.words)
    own = next((label for label in labels if _same(label, one.label)), None) if names_type else None
    evidence = file.of(place, one.name)
    against = {file.terms[gene.speaks_for] for gene in evidence.strong_conflicts if gene.speaks_for in file.terms}
    verdict = judge(votes[0], place, own, labels, ontology, against=against)
    pieces: list[Mapping[str, Any]] = []
    for cluster in range(len(clusters.names) if clusters is not None and own is not None else 0):
        assert clusters is not None
        piece = place * len(clusters.names) + cluster
        if votes[1].cells[piece] >= _LEAST_CELLS:
            said = judge(votes[1], piece, own, labels, ontology, against=against)
            if said.status == "wrong":
                facts = {"cells": int(votes[1].cells[piece]), "called": said.called, "share": said.called_share}
                pieces.append({"cluster": clusters.names[cluster], **facts})
    other = verdict.called if verdict.status in ("wrong", "unsure") else next((o.name for o in verdict.others), "")
    status: Status = "mixed" if pieces and verdict.status == "fine" else verdict.status
    return AuditedGroup(
        label=one.name,
        ontology_term_id=one.label.ontology_term_id or "",
        cells=int(file.moments.cells[place]),
        status=status,
        verdict=verdict if names_type else None,
        words=one.words,
        evidence=evidence,
        evidence_called=file.of(place, other) if other and other != one.label.name else None,
        clusters=tuple(pieces),
    )


def _candidates(read: Sequence[ReadLabel], more: str | None, ontology: Ontology) -> list[Label]:
    """Return the different types that the labels stand for, and those that the user adds."""
    found: list[Label] = []
    given = [one.label for one in read if not any(word.kind == "no type" for word in one.words)]
    given += [look_up(LabelEntry(name), ontology) for name in ([] if more is None else split_labels(more))]
    for label in given:
        if not any(_same(label, other) for other in found):
            found.append(label)
    if not found:
        raise ValueError("No label of the column names a type of cell; name a column with types.")
    return found


def _same(one: Label, other: Label) -> bool:
    """Return whether two labels are the same candidate to the model, which reads their texts alone."""
    return normalize_name(one.text) == normalize_name(other.text)


def _pieces(groups: CellGroups, clusters: CellGroups) -> VotingGroups:
    n = len(clusters.names)
    has_both = (groups.codes >= 0) & (clusters.codes >= 0)
    return VotingGroups(
        np.where(has_both, groups.codes.astype(np.int64) * n + clusters.codes, -1), n * len(groups.names)
    )


def _ids(source: CellSource, groups: CellGroups, column: str | None) -> dict[str, set[str]]:
    """Return the ontology ids that the file gives the cells of each label."""
    if column is not None and column not in source.obs_columns:
        raise ValueError(f"unknown id column {column!r}; obs has {[str(name) for name in source.obs_columns]}")
    column = column or next((name for name in ID_COLUMNS if name in source.obs_columns), None)
    if column is None or column == groups.column:
        return {}
    values = pd.Categorical(source.metadata([column], 0, source.n_cells)[column])
    found: dict[str, set[str]] = defaultdict(set)
    for code, of in set(zip(groups.codes.tolist(), values.codes.tolist(), strict=True)):
        if code >= 0 and of >= 0 and (term_id := str(values.categories[of]).strip()) not in ("", "unknown", "na"):
            found[groups.names[code]].add(term_id)
    return found


def _row(group: AuditedGroup) -> dict[str, Any]:
    verdict = group.verdict
    facts: dict[str, Any] = {
        "label": group.label,
        "ontology_term_id": group.ontology_term_id,
        "cells": group.cells,
        "status": group.status,
        "called": verdict.called if verdict else "",
        "called_share": verdict.called_share if verdict else None,
        "label_share": verdict.label_share if verdict else None,
        "by_text": verdict.text if verdict else "",
        "by_reference": verdict.reference if verdict else "",
        "text_and_reference_agree": bool(verdict and verdict.text == verdict.reference),
        "also_holds": "; ".join(f"{o.name} ({o.share:.0%})" for o in verdict.others) if verdict else "",
        "words": " ".join(word.text for word in group.words),
        "words_are_wrong": any(word.is_wrong for word in group.words),
        "genes_for": ", ".join(gene.gene for gene in group.evidence.supporting),
        "genes_against": ", ".join(f"{g.gene} ({g.speaks_for})" for g in group.evidence.strong_conflicts),
        "clusters": "; ".join(f"{c['cluster']}: {c['called']} ({c['share']:.0%})" for c in group.clusters),
    }
    return facts


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in facts.items()}
