"""The audit on PBMC 3k: labels that are right, labels that were swapped, and groups with cells of another type."""

import itertools

import anndata
import numpy as np
import pytest

import langcell
from langcell.inference.auditing import audit as auditing
from langcell.inference.auditing.votes import GroupVotes, VotingGroups

MYELOID = ("dendritic cell", "CD14-positive monocyte", "CD14-low, CD16-positive monocyte")
VOTES = ("called", "denied", "between", "text", "reference", "cells")


def lineage(label: str) -> str:
    """T and NK cells are close to one another, and so are monocytes and dendritic cells."""
    if label in ("B cell", "platelet"):
        return label
    return "myeloid" if label in MYELOID else "T and NK"


class Auditor:
    """Audits PBMC 3k with any labels; the model reads the cells once, since their votes do not depend on labels."""

    def __init__(self, path):
        self.cells = anndata.read_h5ad(path)
        self.true = self.cells.obs["cl_label"].astype(str).to_numpy()
        self.model = langcell.load()
        self._original, self._each = auditing.gather_votes, {}

    def votes(self, job, source, loaded, dtype, labels, groupings, types, *, parts):
        key = tuple(label.name for label in labels)
        if key not in self._each:
            alone = [VotingGroups(np.arange(source.n_cells), source.n_cells)]
            (self._each[key],) = self._original(job, source, loaded, dtype, labels, alone, types, parts=parts)
        return [self._together(self._each[key], grouping) for grouping in groupings]

    def _together(self, each, grouping):
        counts = {}
        for name in VOTES:
            values = getattr(each, name)
            counts[name] = np.zeros((grouping.n_groups, *values.shape[1:]), dtype=values.dtype)
            np.add.at(counts[name], grouping.codes, values)
        return GroupVotes(**counts, refined=each.refined, facts={})

    def __call__(self, labels):
        cells = self.cells.copy()
        cells.obs = cells.obs[[]].assign(label=labels)
        found = langcell.audit(cells, model=self.model, label_column="label", gene_column="ensembl_id", progress=False)
        return {group.label: group for group in found.groups}


@pytest.fixture(scope="module")
def audit(real_data):
    auditor = Auditor(real_data("data/pbmc3k.h5ad"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auditing, "gather_votes", auditor.votes)
        yield auditor


@pytest.mark.slow
def test_true_labels_raise_no_alarm(audit):
    found = audit(audit.true)
    assert {label: group.status for label, group in found.items()} == dict.fromkeys(found, "fine")
    assert not any(group.is_wrong or group.evidence.strong_conflicts for group in found.values())


@pytest.mark.slow
def test_swapped_labels_are_found_in_both_groups_and_in_no_other(audit):
    pairs = list(itertools.combinations(sorted(set(audit.true)), 2))
    found_far, found_close = [], []
    for one, other in pairs:
        swapped = np.where(audit.true == one, other, np.where(audit.true == other, one, audit.true))
        groups = audit(swapped)
        wrong = {label for label, group in groups.items() if group.is_wrong}
        assert wrong <= {one, other}, (one, other, wrong)
        assert all(groups[label].status == "wrong" for label in wrong)
        (found_close if lineage(one) == lineage(other) else found_far).append(wrong == {one, other})
        for label, true in ((one, other), (other, one)):
            if label in wrong:
                assert groups[label].verdict.called == true
    assert len(pairs) == 36
    assert np.mean(found_far) >= 0.9
    assert np.mean(found_close) >= 0.6


@pytest.mark.slow
def test_a_tenth_of_another_type_makes_a_group_mixed(audit):
    rng = np.random.default_rng(0)
    found = {}
    for one, other in itertools.permutations(sorted(set(audit.true)), 2):
        n, sources = int((audit.true == one).sum()), np.flatnonzero(audit.true == other)
        n_foreign = round(n / 9)
        if lineage(one) == lineage(other) or n_foreign < 3 or len(sources) <= n_foreign:
            continue
        labels = audit.true.copy()
        labels[rng.choice(sources, n_foreign, replace=False)] = one
        group = audit(labels)[one]
        found[one, other] = group.status == "mixed" and other in {second.name for second in group.verdict.others}
    assert len(found) > 20
    assert np.mean(list(found.values())) >= 0.9, [pair for pair, right in found.items() if not right]
