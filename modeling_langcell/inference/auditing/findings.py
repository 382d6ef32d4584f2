"""From votes to findings: which groups are called otherwise, which hold two types, and of which there is no telling.

- wrong: another candidate has a fifth of the cells more than the label, beyond what chance would do to as many cells.
- mixed: other types are in the group. Of each other type, the cells that are surely not of the label count, less those
  that lie between the two types. They are 7 % of the group, and three or more of them are called the same.
- unsure: another candidate has as many cells, or the label has fewer than half.

A type in line with the label (a kind of it, or what it is a kind of) speaks for it, unless genes of the group strongly
speak for the other of the two: CD16 monocytes are a kind of CD14 monocytes in the Cell Ontology.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from langcell.inference.auditing.votes import GroupVotes
from langcell.inference.evidence.profiles import in_line
from langcell.processing.labels.lookup import Label
from langcell.processing.ontology.terms import Ontology

Status = Literal["wrong", "mixed", "unsure", "fine"]
WRONG_MARGIN = 0.2
MIXED_SHARE = 0.07
LEAST_MIXED_CELLS = 3
_LEAST_SHARE = 0.5
_DEVIATIONS = 2.0


@dataclass(frozen=True)
class OtherType:
    """A second type in a group.

    Attributes:
        name: what its cells are called.
        cells: how many are, and surely not of the label.
        share: share of the group.
    """

    name: str
    cells: int
    share: float


@dataclass(frozen=True)
class GroupVerdict:
    """What a group of cells is called.

    Attributes:
        status: what follows from the votes.
        called: the candidate that most cells are called.
        called_share: share of the cells that are.
        label_share: share of the cells that are called the label, or a type in line with it.
        text, text_share: the same by the text alone; "" where no cell has a vote.
        reference, reference_share: the same by the reference cells alone.
        others: second types in the group, most cells first.
    """

    status: Status
    called: str
    called_share: float
    label_share: float
    text: str
    text_share: float
    reference: str
    reference_share: float
    others: tuple[OtherType, ...] = ()


def judge(
    votes: GroupVotes,
    group: int,
    own: Label | None,
    labels: Sequence[Label],
    ontology: Ontology,
    *,
    against: Collection[str] = (),
) -> GroupVerdict:
    """Say what follows from the votes in one group.

    Args:
        votes: votes of all groups.
        group: row of the group.
        own: what its label stands for; None for a group without a label, which is never wrong.
        labels: candidates, in the order of the columns.
        ontology: that says which types are in line.
        against: ontology ids of the types that genes of the group strongly speak for.
    """
    ours = np.array([own is not None and _agrees(own, label, ontology, against) for label in labels])
    n = max(int(votes.cells[group]), 1)
    called = votes.called[group]
    best = int(called.argmax())
    n_own = int(called[ours].sum())
    others = _others(votes, group, own, ours, labels) if own is not None else ()
    text, text_share = _majority(votes.text[group], labels)
    reference, reference_share = _majority(votes.reference[group], labels)
    return GroupVerdict(
        status="fine" if own is None else _status(called, ours, n, others),
        called=labels[best].name if called[best] else "",
        called_share=round(float(called[best]) / n, 4),
        label_share=round(n_own / n, 4),
        text=text,
        text_share=text_share,
        reference=reference,
        reference_share=reference_share,
        others=others,
    )


def _status(called: np.ndarray, ours: np.ndarray, n: int, others: Sequence[OtherType]) -> Status:
    n_own = int(called[ours].sum())
    n_other = int(np.where(ours, 0, called).max(initial=0))
    by_chance = _DEVIATIONS * np.sqrt(n_own + n_other)
    if n_other - n_own >= WRONG_MARGIN * n and n_other - n_own > by_chance:
        return "wrong"
    if n_other >= n_own or n_own < _LEAST_SHARE * n:
        return "unsure"
    return "mixed" if others else "fine"


def _others(
    votes: GroupVotes, group: int, own: Label, ours: np.ndarray, labels: Sequence[Label]
) -> tuple[OtherType, ...]:
    n = max(int(votes.cells[group]), 1)
    column = next(place for place, label in enumerate(labels) if label.name == own.name)
    foreign = np.where(ours, 0, votes.denied[group][:, column])
    excess = np.maximum(foreign - votes.between[group, column], 0)
    if excess.sum() < MIXED_SHARE * n or excess.max(initial=0) < LEAST_MIXED_CELLS:
        return ()
    chosen = [place for place in np.argsort(-excess, kind="stable").tolist() if excess[place] >= LEAST_MIXED_CELLS]
    return tuple(OtherType(labels[i].name, int(foreign[i]), round(int(foreign[i]) / n, 4)) for i in chosen)


def _agrees(own: Label, label: Label, ontology: Ontology, against: Collection[str]) -> bool:
    if own.name == label.name:
        return True
    if own.ontology_term_id is None or label.ontology_term_id is None or label.ontology_term_id in against:
        return False
    return in_line(own.ontology_term_id, label.ontology_term_id, ontology)


def _majority(counts: np.ndarray, labels: Sequence[Label]) -> tuple[str, float]:
    total = int(counts.sum())
    if not total:
        return "", 0.0
    best = int(counts.argmax())
    return labels[best].name, round(float(counts[best]) / total, 4)
