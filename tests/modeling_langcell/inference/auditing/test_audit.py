import hashlib
import json

import anndata
import numpy as np
import pytest
from tiny_evidence import TYPES, typed_cells, typed_model, typed_reference

import langcell
from langcell.inference.auditing import audit as auditing
from langcell.inference.auditing.votes import GroupVotes, VotingGroups


@pytest.fixture(scope="module")
def cells():
    adata = typed_cells(40)
    adata.obs["cl_id"] = [TYPES[label] for label in adata.obs["label"]]
    return adata


@pytest.fixture(scope="module")
def model():
    return typed_model(typed_reference())


def audited(cells, model, **options):
    return langcell.audit(cells, model=model, label_column="label", progress=False, **options)


def test_every_label_has_a_row_with_votes_words_and_genes(cells, model):
    found = audited(cells, model)
    assert {group.label for group in found.groups} == set(found.candidates) == set(TYPES)
    assert len(found.frame()) == len(TYPES)
    for group in found.groups:
        assert group.cells == 40
        assert group.verdict is not None
        assert 0 <= group.verdict.label_share <= 1
        assert group.evidence.label == group.label
        assert not group.words
    assert found.facts["reference_cells"] == 60


def test_a_file_gives_what_the_object_gives_and_is_not_changed(cells, model, tmp_path):
    path = tmp_path / "cells.h5ad"
    cells.write_h5ad(path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    from_file, from_object = audited(path, model, rows_per_chunk=17).record(), audited(cells, model).record()
    assert json.dumps(from_file) == json.dumps(from_object)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert [one.name for one in tmp_path.iterdir()] == ["cells.h5ad"]


def test_the_votes_of_groups_are_those_of_their_cells(cells, model, monkeypatch):
    kept = {}

    def spy(job, source, loaded, dtype, labels, groupings, types, *, parts):
        n = source.n_cells
        alone = VotingGroups(np.arange(n), n)
        kept["all"], kept["alone"] = original(
            job, source, loaded, dtype, labels, [*groupings, alone], types, parts=parts
        )
        return [kept["all"]]

    original = auditing.gather_votes
    monkeypatch.setattr(auditing, "gather_votes", spy)
    audited(cells, model)
    codes = np.unique(cells.obs["label"], return_inverse=True)[1]
    for name in ("called", "denied", "between", "text", "reference", "cells"):
        each = getattr(kept["alone"], name)
        together = np.stack([each[codes == code].sum(axis=0) for code in range(3)])
        np.testing.assert_array_equal(getattr(kept["all"], name), together)
    assert (kept["all"].called.sum(axis=1) == 40).all()
    near = kept["all"].reference
    assert (near.argmax(axis=1) == np.arange(3)).all()  # candidates are in the order of the groups
    assert isinstance(kept["all"], GroupVotes)


def test_words_that_disagree_with_ids_are_wrong_whatever_the_cells_are(cells, model):
    other = cells.copy()
    other.obs["cl_id"] = "CL:0000236"
    found = {group.label: group for group in audited(other, model).groups}
    assert found["natural killer cell"].is_wrong
    assert not any(word.is_wrong for word in found["B cell"].words)
    assert audited(cells, model, id_column="cl_id").n_wrong <= audited(other, model).n_wrong


def test_labels_of_no_type_are_kept_apart(cells, model):
    other = cells.copy()
    del other.obs["cl_id"]
    other.obs["label"] = ["doublets?"] * 10 + ["N/A"] * 10 + cells.obs["label"].astype(str).tolist()[20:]
    found = {group.label: group for group in audited(other, model).groups}
    assert found["N/A"].verdict is None
    assert "N/A" not in audited(other, model).candidates
    assert [word.kind for word in found["doublets?"].words] == ["not in the ontology"]


def test_one_label_alone_is_compared_with_near_types(cells, model):
    found = audited(cells[cells.obs["label"] == "B cell"].copy(), model)
    assert len(found.candidates) > 1
    assert found.candidates[0] == "B cell"


def test_clusters_within_labels_are_looked_at(cells, model, monkeypatch):
    def votes_for_clusters(job, source, loaded, dtype, labels, groupings, types, *, parts):
        n = len(labels)
        made = []
        for grouping in groupings:
            cells_of = np.bincount(grouping.codes[grouping.codes >= 0], minlength=grouping.n_groups)
            called = np.zeros((grouping.n_groups, n), dtype=np.int64)
            called[:, 0] = cells_of
            empty = np.zeros((grouping.n_groups, n, n), dtype=np.int64)
            made.append(GroupVotes(called, empty, empty, called, called, True, cells_of, {}))
        return made

    monkeypatch.setattr(auditing, "gather_votes", votes_for_clusters)
    found = {group.label: group for group in audited(cells, model, cluster_column="leiden").groups}
    assert found["natural killer cell"].clusters[0]["called"] == "B cell"
    assert found["natural killer cell"].clusters[0]["cluster"] == "1"
    assert found["natural killer cell"].status == "wrong"
    assert not found["B cell"].clusters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id_column": "nothing"}, "unknown id column 'nothing'"),
        ({"cluster_column": "nothing"}, "unknown cluster column 'nothing'"),
        ({"top": 0}, "top is 0"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(cells, model, options, message):
    with pytest.raises(ValueError, match=message):
        audited(cells, model, **options)


def test_findings_may_be_written_into_a_copy(cells, model, tmp_path):
    from langcell.inference.auditing.columns import check_annotated, write_annotated_copy
    from langcell.inference.running.options import ReadingOptions

    path, copy = tmp_path / "cells.h5ad", tmp_path / "copy.h5ad"
    cells.write_h5ad(path)
    found = audited(path, model)
    with pytest.raises(ValueError, match=r"cells\.h5ad"):
        check_annotated(path, path)
    check_annotated(path, copy)
    write_annotated_copy(path, copy, found, ReadingOptions())
    written = anndata.read_h5ad(copy)
    status = {group.label: group.status for group in found.groups}
    assert written.obs["langcell_audit"].tolist() == [status[label] for label in cells.obs["label"]]
    assert written.uns["langcell_audit"]["label_column"] == "label"
